//! The kinds of objects that Gaia makes or asks for.

use serde_json::Value;

/// A kind of object, with where the API has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// `apps/v1`, or `v1` for the oldest.
    pub api_version: &'static str,
    /// `Deployment`.
    pub name: &'static str,
    /// `deployments`.
    pub plural: &'static str,
    /// Whether an object of it lies in a namespace.
    pub is_namespaced: bool,
}

macro_rules! kinds {
    ($($constant:ident = $api:literal $name:literal $plural:literal $namespaced:literal;)+) => {
        impl Kind {
            $(
                #[doc = $name]
                pub const $constant: Self = Self {
                    api_version: $api,
                    name: $name,
                    plural: $plural,
                    is_namespaced: $namespaced,
                };
            )+

            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$constant),+];
        }
    };
}

kinds! {
    NAMESPACE = "v1" "Namespace" "namespaces" false;
    NODE = "v1" "Node" "nodes" false;
    RESOURCE_QUOTA = "v1" "ResourceQuota" "resourcequotas" true;
    LIMIT_RANGE = "v1" "LimitRange" "limitranges" true;
    SERVICE_ACCOUNT = "v1" "ServiceAccount" "serviceaccounts" true;
    CONFIG_MAP = "v1" "ConfigMap" "configmaps" true;
    SECRET = "v1" "Secret" "secrets" true;
    SERVICE = "v1" "Service" "services" true;
    POD = "v1" "Pod" "pods" true;
    EVENT = "v1" "Event" "events" true;
    VOLUME_CLAIM = "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    DEPLOYMENT = "apps/v1" "Deployment" "deployments" true;
    STATEFUL_SET = "apps/v1" "StatefulSet" "statefulsets" true;
    JOB = "batch/v1" "Job" "jobs" true;
    CRON_JOB = "batch/v1" "CronJob" "cronjobs" true;
    AUTOSCALER = "autoscaling/v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" true;
    DISRUPTION_BUDGET = "policy/v1" "PodDisruptionBudget" "poddisruptionbudgets" true;
    NETWORK_POLICY = "networking.k8s.io/v1" "NetworkPolicy" "networkpolicies" true;
    INGRESS = "networking.k8s.io/v1" "Ingress" "ingresses" true;
    HTTP_ROUTE = "gateway.networking.k8s.io/v1" "HTTPRoute" "httproutes" true;
    SCALED_OBJECT = "keda.sh/v1alpha1" "ScaledObject" "scaledobjects" true;
    ROLE = "rbac.authorization.k8s.io/v1" "Role" "roles" true;
    ROLE_BINDING = "rbac.authorization.k8s.io/v1" "RoleBinding" "rolebindings" true;
    LEASE = "coordination.k8s.io/v1" "Lease" "leases" true;
    ACCESS_REVIEW = "authorization.k8s.io/v1" "SelfSubjectAccessReview" "selfsubjectaccessreviews" false;
    POD_METRICS = "metrics.k8s.io/v1beta1" "PodMetrics" "pods" true;
}

impl Kind {
    /// The kind of an object; none for one that Gaia does not know.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        let (api, name) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.api_version == api && kind.name == name)
    }

    /// Its API group; empty for the oldest.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The path of one object, or of all of them.
    pub(crate) fn path(self, namespace: &str, name: Option<&str>) -> String {
        let root = match self.group() {
            "" => format!("/api/{}", self.api_version),
            _ => format!("/apis/{}", self.api_version),
        };
        let within = match self.is_namespaced && !namespace.is_empty() {
            true => format!("/namespaces/{namespace}"),
            false => String::new(),
        };
        let name = name.map(|name| format!("/{name}")).unwrap_or_default();
        format!("{root}{within}/{}{name}", self.plural)
    }
}

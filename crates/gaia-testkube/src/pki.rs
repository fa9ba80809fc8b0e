//! Certificates, made anew for each cluster.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

/// A certificate authority and the folder in which its certificates are.
pub(crate) struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pki {
    /// Writes `ca.crt`, and the pair `accounts` that signs the tokens of service accounts.
    pub(crate) fn new(folder: PathBuf) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "gaia-testkube");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(params, key()).expect("a certificate authority can be made");
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join("ca.crt"), authority.pem()).expect("a file can be written");
        let accounts = key();
        fs::write(folder.join("accounts.key"), accounts.serialize_pem()).expect("a file can be written");
        fs::write(folder.join("accounts.pub"), accounts.public_key_pem()).expect("a file can be written");
        Self { authority, folder }
    }

    pub(crate) fn authority(&self) -> String {
        self.authority.pem()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// A certificate for a user, in a group where one is named, or for a server, which has names and addresses.
    pub(crate) fn issue(&self, user: &str, group: Option<&str>, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names and addresses");
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = key();
        let certificate = params
            .signed_by(&key, &self.authority)
            .expect("a certificate can be made");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// The same, written to `<file>.crt` and `<file>.key`.
    pub(crate) fn write(&self, file: &str, user: &str, group: Option<&str>, names: &[&str]) {
        let identity = self.issue(user, group, names);
        fs::write(self.path(&format!("{file}.crt")), identity.certificate).expect("a file can be written");
        fs::write(self.path(&format!("{file}.key")), identity.key).expect("a file can be written");
    }

    /// A kubeconfig that carries everything in itself. JSON is YAML.
    pub(crate) fn kubeconfig(&self, path: &Path, server: &str, identity: &Identity) {
        let kubeconfig: Value = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "clusters": [{ "name": "test", "cluster": {
                "server": server,
                "certificate-authority-data": STANDARD.encode(self.authority()),
            } }],
            "users": [{ "name": "test", "user": {
                "client-certificate-data": STANDARD.encode(&identity.certificate),
                "client-key-data": STANDARD.encode(&identity.key),
            } }],
        });
        fs::write(path, kubeconfig.to_string()).expect("a file can be written");
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

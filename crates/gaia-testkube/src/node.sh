# The first process of a node, in mount, network and process namespaces of its own: all that a node is ends with it.
# Arguments: the node's name, its folder, its control group, its address, the gateway, the programs of Kubernetes,
# Felix, and then the other nodes: the range of the pods there, the node's address.
set -eu
name=$1 folder=$2 group=$3 address=$4 gateway=$5 kubernetes=$6 felix=$7
shift 7

# What a node writes stays in its folder, and what is in /run does not survive it.
rm -rf "$folder/run"
for place in /run /var/lib /var/log; do
  mkdir -p "$folder$place"
  mount --bind "$folder$place" "$place"
done

# The kubelet wants the whole machine set so. Here it finds that it is.
mkdir /run/sys
pretend() {
  echo "$2" >"/run/sys/${1##*/}"
  mount --bind "/run/sys/${1##*/}" "/proc/sys/$1"
}
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000
mount --make-rshared /

# A group is of use once it has processors and memory. One that is left from the node's last life goes first.
for controller in /sys/fs/cgroup/*; do
  if [ "${controller##*/}" = unified ] || [ -L "$controller" ]; then continue; fi
  while [ -d "$controller/$group" ] && ! find "$controller/$group" -depth -type d -exec rmdir {} +; do sleep 0.1; done
  mkdir -p "$controller/$group"
done
for part in "${group%/*}" "$group"; do
  cat /sys/fs/cgroup/cpuset/cpuset.cpus >"/sys/fs/cgroup/cpuset/$part/cpuset.cpus"
  cat /sys/fs/cgroup/cpuset/cpuset.mems >"/sys/fs/cgroup/cpuset/$part/cpuset.mems"
done

# The harness plugs eth0 in.
until [ -e /proc/sys/net/ipv4/conf/eth0 ]; do sleep 0.02; done
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
while [ $# -gt 0 ]; do
  ip route add "$1" via "$2"
  shift 2
done
echo 1 >/proc/sys/net/ipv4/ip_forward

export FELIX_DATASTORETYPE=kubernetes FELIX_FELIXHOSTNAME=$name KUBECONFIG=$folder/cni/plugins/kubeconfig USE_POD_CIDR=true
# Pods may speak to their node; routes to pods are there already; nothing is reported anywhere.
export FELIX_DEFAULTENDPOINTTOHOSTACTION=ACCEPT FELIX_ROUTESYNCDISABLED=true FELIX_USAGEREPORTINGENABLED=false
export FELIX_IPTABLESBACKEND=NFT FELIX_IPV6SUPPORT=false FELIX_LOGFILEPATH=none FELIX_LOGSEVERITYSCREEN=WARNING
export FELIX_LOGSEVERITYSYS=none FELIX_XDPENABLED=false
"$felix" >>"$folder.felix.log" 2>&1 &
containerd --config "$folder/containerd.toml" >>"$folder.containerd.log" 2>&1 &
until ctr version >/run/version 2>&1; do sleep 0.05; done
ctr --namespace k8s.io image import "$folder/../busybox.tar"
"$kubernetes" kubelet --config "$folder/kubelet.json" --kubeconfig "$folder/kubelet.kubeconfig" \
  --hostname-override "$name" --node-ip "$address" --node-labels "topology.kubernetes.io/zone=zone-${name#node-}" \
  >>"$folder.kubelet.log" 2>&1 &
"$kubernetes" kube-proxy --config "$folder/kube-proxy.json" --hostname-override "$name" >>"$folder.kube-proxy.log" 2>&1 &
wait

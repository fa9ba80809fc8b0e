#!/bin/sh
# The plugin `ptp`, which gives a pod a cable of its own to its node, and what Felix wants beside it: it knows a pod's
# cable by a name that follows from the pod's, and lets the pod speak as soon as it reads the pod's address.
set -eu
answer=$(sed 's/"type": *"cable"/"type":"ptp"/' | "${0%/*}/ptp")
if [ "$CNI_COMMAND" = ADD ]; then
  namespace=$(echo "$CNI_ARGS" | sed 's/.*K8S_POD_NAMESPACE=\([^;]*\).*/\1/')
  pod=$(echo "$CNI_ARGS" | sed 's/.*K8S_POD_NAME=\([^;]*\).*/\1/')
  was=$(echo "$answer" | grep -o 'veth[0-9a-f]*' | head -n 1)
  is=cali$(printf '%s.%s' "$namespace" "$pod" | sha1sum | cut -c 1-11)
  ip link set "$was" name "$is"
  answer=$(echo "$answer" | sed "s/$was/$is/")
  address=$(echo "$answer" | grep -o '"address": *"[0-9.]*' | grep -o '[0-9.]*$')
  "${0%/*}/kubernetes" kubectl --kubeconfig "${0%/*}/kubeconfig" --cache-dir /run/kubectl annotate --overwrite \
    --namespace "$namespace" pod "$pod" "cni.projectcalico.org/podIP=$address/32" \
    "cni.projectcalico.org/podIPs=$address/32" >&2
fi
echo "$answer"

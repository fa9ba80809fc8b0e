# Reads process groups until its input ends, which the kernel sees to however the test process ends. Then it kills them
# and removes what they leave: a folder, and the control groups that are called like it.
folder=$1
name=${folder##*/}
groups=
while read -r group; do groups="$groups $group"; done
for group in $groups; do kill -s KILL -- "-$group"; done
if [ -n "${GAIA_TESTKUBE_LOGS:-}" ]; then
  mkdir -p "$GAIA_TESTKUBE_LOGS/$name" && cp "$folder"/*.log "$GAIA_TESTKUBE_LOGS/$name/"
fi
for _ in $(seq 200); do
  find /sys/fs/cgroup/*/"$name" -depth -type d -exec rmdir {} +
  rm -rf "$folder"
  if [ ! -e "$folder" ] && ! ls -d /sys/fs/cgroup/*/"$name"; then break; fi
  sleep 0.1
done

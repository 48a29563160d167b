# Builds the environment that this attempt asks for, once for all jobs that ask for the same: of several who come first, one
# builds under the lock and the others wait. It appears by a rename, so a half-built one is never used.
uv=/opt/uv
final=/spool/environments/0123456789abcdef
python=3.11
exec {lock}>>"$final.lock"
flock "$lock"
[[ ! -e $final/environment.json || ! -x $final/bin/python ]] || exit 0
rm -rf -- "$final" "$final".building.* # what a killed build left, or one whose Python was removed from the machine
building=$final.building.$$
trap 'rm -rf -- "$building"' EXIT
echo "lab: building the environment 0123456789ab (Python $python)"
"$uv" venv --quiet --relocatable --no-python-downloads --no-project --python "$python" "$building" || {
  echo "lab: there is no Python $python on this machine; install it, or ask for another in environment.python"
  exit 1
}
"$uv" pip install --quiet --system-certs --no-python-downloads --python "$building/bin/python" --requirement 're q.txt'
"$building/bin/python" -I - >"$building/environment.json" <<'PYTHON'
import importlib.metadata, json, platform
packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
print(json.dumps({"python": platform.python_version(), "packages": dict(sorted(packages.items())), "digest": "0123456789abcdef"}))
PYTHON
mv -T -- "$building" "$final"

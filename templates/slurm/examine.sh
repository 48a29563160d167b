#!/bin/bash
# What `lab doctor` asks of a login node: bash -s COMMAND [ARGUMENT…] with this on standard input. Old shells must get through it,
# and what it makes it removes. Answers are lines of a name, a tab and a value.
set -u
export LC_ALL=C SLURM_TIME_FORMAT=%s
unset ${!SBATCH_*}

say() { printf '%s\t%s\n' "$1" "$2"; }
flat() { tr '\t\r\n' '   ' | head -c "${1:-2000}"; }
works() { # NAME COMMAND…
  local name=$1
  shift
  "$@" >/dev/null 2>&1 </dev/null && say "works $name" 1 || say "works $name" 0
}
asked() { # NAME COMMAND…: its lines, or why there are none
  local name=$1 text
  shift
  if text=$(timeout -k 5 30 "$@" 2>&1 </dev/null); then
    while IFS= read -r line; do [ -n "$line" ] && say "$name" "$line"; done <<<"$text"
    say "answered $name" 1
  else
    say "trouble $name" "$(flat <<<"${text:-no answer in 30 s}")"
    return 1
  fi
}

tools() { # of a login node or a node
  local tool
  say user "$(id -un)"
  say node "$(hostname)"
  say system "$(uname -sm)"
  say bash "${BASH_VERSION-}"
  for tool in "$@"; do say "tool $tool" "$(command -v "$tool")"; done
  works timeout timeout -k 1 5 true
  works head bash -c '[ "$(printf "a\0b\0" | head -zn 1 | tr -d "\0")" = a ]'
  works stat bash -c '[ "$(stat --printf="%s\0" / | tail -c 1 | wc -c)" = 1 ]'
  works sha256sum bash -c 'printf a | sha256sum -z'
  works find bash -c '[ "$(find / -maxdepth 0 -printf %d)" = 0 ]'
  works xargs bash -c 'printf "a\0" | xargs -0r true'
  works tar bash -c 'tar -czf - /dev/null | tar -tzf -'
  works openssl bash -c 'printf a | openssl enc -e -aes-256-ctr -pbkdf2 -iter 1 -md sha256 -pass pass:x | wc -c | grep -qx 17'
}

folder() { # FOLDER: what can be done in it
  works write bash -c 'head -c 1048576 /dev/zero >"$1/size" && [ "$(stat -c %s "$1/size")" = 1048576 ]' bash "$1"
  works link ln "$1/size" "$1/link"
  works symlink ln -s size "$1/symlink"
  works rename bash -c 'mkdir "$1/a" && mv -T "$1/a" "$1/b"' bash "$1"
  works flock flock -n "$1/lock" true
}

look() { # ROOT: `~` at its start is the home
  local root=$1 at
  case $root in "~") root=$HOME ;; "~/"*) root=$HOME/${root#"~/"} ;; /*) ;; *) root=$HOME/$root ;; esac
  tools timeout head stat tar find xargs grep mktemp realpath sha256sum gzip setsid flock openssl uv sbatch squeue scancel sacct \
    sinfo scontrol sacctmgr
  say home "$(cd && pwd -P)"
  at=$root
  while [ ! -d "$at" ] && [ -n "$at" ]; do at=${at%/*}; done
  say root "$root"
  say there "${at:-/}"
  [ -s "$root/owner" ] && say owner "$(flat 500 <"$root/owner")"
  if scratch=$(mktemp -d "${at:-/}/.lab-doctor.XXXXXX" 2>&1); then
    trap 'rm -rf -- "$scratch"' EXIT
    say writable 1
    folder "$scratch"
    say kind "$(stat -f -c %T "$scratch")"
    say space "$(df -PB1 -- "$scratch" | tail -n 1)"
    say inodes "$(df -Pi -- "$scratch" | tail -n 1)"
  else
    say writable "$(flat <<<"$scratch")"
  fi
  cluster
}

cluster() {
  asked version sbatch --version
  asked assoc sacctmgr -nP show assoc user="$(id -un)" format=account,partition,qos,defaultqos,maxsubmitjobs
  asked default sacctmgr -nP show user name="$(id -un)" format=defaultaccount
  asked qos sacctmgr -nP show qos format=name,maxsubmitjobsperuser
  asked sacct sacct -X -n -P --name=lab-doctor --starttime="$(date -d '1 minute ago' +%Y-%m-%dT%H:%M:%S)" --format=JobID
  asked config scontrol show config || return 0 # nobody is there who could answer the rest
  asked partition scontrol -o show partition
  asked nodes sinfo --noheader --exact --format='%P|%a|%c|%m|%G|%l|%D|%t|%z'
  asked mine squeue --me --noheader --array --format=%T
}

try() { # OPTION…: what sbatch would say
  local text code
  text=$(unset SLURM_TIME_FORMAT; timeout -k 5 60 sbatch --test-only "$@" --wrap=true 2>&1 </dev/null)
  code=$?
  say code "$code"
  say said "$(flat <<<"$text")"
}

probe() { # FOLDER OPTION…: submits the job.sh that lies there, which is this script
  local folder=$1 text code
  shift
  text=$(timeout -k 5 60 sbatch --parsable "$@" "$folder/job.sh" node "$folder" 2>&1 </dev/null)
  code=$?
  say code "$code"
  say said "$(flat <<<"$text")"
  say now "$(date +%s)"
}

node() { # FOLDER: the job itself
  { tools timeout head stat tar find setsid flock openssl uv srun && mkdir "$1/node" && folder "$1/node"
    say now "$(date +%s)"
  } >"$1/report.new" && mv "$1/report.new" "$1/report"
}

probed() { # FOLDER ID
  local file
  ls -A "$1" >/dev/null # makes a network file system look
  say state "$(squeue --noheader --states=all --jobs="$2" --format='%T|%r|%N' 2>&1 | head -n 1)"
  [ -s "$1/report" ] && cat "$1/report"
  for file in "$1"/slurm-*.out; do [ -s "$file" ] && say output "$(flat 1000 <"$file")"; done
  say now "$(date +%s)"
}

unprobe() { # FOLDER ID
  [ "$2" = - ] || scancel --quiet "$2"
  rm -rf -- "$1"
  rmdir -- "${1%/*}" 2>/dev/null # the lab's folder, if it was made for this
  return 0
}

case $1 in look | try | probe | node | probed | unprobe) "$@" ;; esac

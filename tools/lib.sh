# Helpers of ./dev and tools/*.sh: messages, retries, Debian packages.  Sourced, not run.

say() { printf 'dev: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# retry COMMAND...: three tries, because registries and networks have bad moments.
retry() {
  local try
  for try in 1 2 3; do
    "$@" && return 0
    [ "$try" = 3 ] || { say "try $try of 3 failed: $*; again in $((try * 5)) s"; sleep $((try * 5)); }
  done
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need COMMAND MINIMUM-VERSION VERSION: what Debian packages do not bring, and the user must have.
need() {
  command -v "$1" > /dev/null || die "$1 is missing; install $1 $2 or newer"
  [ "$(printf '%s\n%s\n' "$2" "$3" | sort -V | head -n 1)" = "$2" ] || die "$1 is version $3; octavo needs $2 or newer"
}

# install_packages GROUP...: installs what is missing of these groups of tools/packages.txt, and says so first.
install_packages() {
  local group package rest missing=()
  while read -r group package rest; do
    case " $* " in *" $group "*) ;; *) continue ;; esac
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
  done < tools/packages.txt
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing from Debian: ${missing[*]}"
  retry as_root apt-get -qq update || die "apt-get update failed; is the Debian registry reachable?"
  retry as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 \
    install --no-install-recommends "${missing[@]}" > /dev/null || die "apt-get could not install: ${missing[*]}"
}

# sha256_is FILE HEX
sha256_is() { [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

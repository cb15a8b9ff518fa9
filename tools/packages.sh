#!/bin/sh
# packages.sh SET: installs the Debian packages of a set's programs, or files, that this machine lacks.
case $1 in
packages) set -- gcc:gcc /usr/include/stdio.h:libc6-dev xmllint:libxml2-utils ;;
check-packages) set -- man:man-db mandoc:mandoc nft:nftables shellcheck:shellcheck \
  /usr/share/bash-completion/bash_completion:bash-completion ;;
release-packages) set -- dpkg-deb:dpkg /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring ;;
engine-packages) set -- iptables:iptables ipset:ipset nft:nftables ;;
bench-packages) set -- curl:curl fping:fping hping3:hping3 masscan:masscan ;;
browser) set -- chromium:chromium npm:npm fc-list:fontconfig \
  /usr/share/fonts/truetype/dejavu:fonts-dejavu-core /usr/share/fonts/opentype/inter:fonts-inter ;;
*) echo "packages.sh: there is no set $1" >&2 && exit 1 ;;
esac

missing=
for pair; do
  need=${pair%%:*}
  case $need in
  /*) [ -e "$need" ] ;;
  *) PATH=$PATH:/usr/sbin command -v "$need" >/dev/null ;;
  esac || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0

echo "== installing$missing"
# A sudo that exists is used for packages only.
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq || exit
# shellcheck disable=SC2086 # a list of words
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null

#!/bin/bash
# Unpacks Debian unstable packages with all they need into DIR/root, beside the system: no root, no chroot,
# no package database. Programs there are run by the tree's own loader (see internal/localdb).
#
#   sidroot.sh DIR PACKAGE...
#
# MIRROR names a Debian mirror; default: the one this machine's apt uses. Files are checked by apt against the
# archive's signature. amd64 only.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
dir=$(realpath -m "$1"); shift
[ "$(dpkg --print-architecture)" = amd64 ] || { echo "only for amd64" >&2; exit 1; }
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/$')} ||
    { echo "this machine's apt knows no Debian mirror; name one as MIRROR" >&2; exit 1; }

# Needed on paper only, by perl scripts and install scripts.
unneeded='^(perl|perl-base|perl-modules-[0-9.]*|libperl5[0-9.]*|libgdbm[a-z0-9-]*|libdb5.3t64|libc-gconv-modules-extra|libc-l10n|libc-bin|debconf|ssl-cert|locales|locales-all|ucf|sensible-utils|adduser|passwd|login.defs|sysvinit-utils|media-types|openssl|openssl-provider-legacy|systemd|libsystemd-shared|procps|postgresql-common|postgresql-client-common|libjson-perl|libpam-modules|libpam-modules-bin|libpam-runtime|mount|libncursesw6|libsemanage2|libsemanage-common|libsepol2)_'

# an apt of its own, that knows unstable and believes nothing to be installed
mkdir -p "$dir"/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,debs,root}
: >"$dir/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$dir/sources.list"
cat >"$dir/apt.conf" <<CONF
Dir::State "$dir";
Dir::State::Lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc "$dir/etc";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architecture "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
APT::Update::Post-Invoke-Success "";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
CONF
export APT_CONFIG=$dir/apt.conf
apt-get -qq update

# --print-uris lists 'uri' file size hash; the file begins with the package's name
mapfile -t packages < <(apt-get -qq --print-uris install "$@" | awk '{print $2}' | grep -Ev "$unneeded" | cut -d_ -f1)
[ ${#packages[@]} -gt 0 ] || { echo "no such packages: $*" >&2; exit 1; }
(cd "$dir/debs" && apt-get -qq download "${packages[@]}")

# Debian keeps everything in usr/; the links make older paths land there
for l in lib lib64 bin sbin; do
    mkdir -p "$dir/root/usr/$l"
    ln -sfn "usr/$l" "$dir/root/$l"
done
for deb in "$dir"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" |
        tar -C "$dir/root" -x --keep-directory-symlink --no-same-owner --exclude=./usr/share/{doc,man,locale} -f -
done

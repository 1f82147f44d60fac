# Sourced by the tools that fetch: source packages of the distribution, read
# through a temporary source list (the system's own lists stay as they are).

# One deb-src line for each release archive the system's lists already name.
source_list() {
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)' \
        'Created-By: Packages' |
        sed -nE 's/^(Debian|Ubuntu) ([^ ]+) ([a-z]+) ([a-z]+)$/deb-src \2 \3 \4/p' |
        sort -u
}

# source_package NAME WORK: its files into WORK/download.
source_package() {
    local name=$1 work=$2
    command -v apt-get >/dev/null || return 1
    source_list >"$work/sources.list"
    if [ ! -s "$work/sources.list" ]; then
        echo "apt knows no Debian archive: run 'apt-get update' first" >&2
        return 1
    fi
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" \
             "$work/state" "$work/download"
    local options=(
        -qq
        -o "Dir::Etc::SourceList=$work/sources.list"
        -o "Dir::Etc::SourceParts=/dev/null"
        -o "Dir::State=$work/state"
        -o "Dir::State::Lists=$work/lists"
        -o "Dir::Cache=$work/cache"
        -o "APT::Sandbox::User="
        -o "APT::Get::List-Cleanup=0"
    )
    apt-get "${options[@]}" update >&2 || return 1
    (cd "$work/download" &&
        apt-get "${options[@]}" source --download-only "$name" >&2)
}

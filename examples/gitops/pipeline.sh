#!/bin/sh
# What a pipeline does with the bottles of a repository; docs/gitops.md explains it.
#
#   pipeline.sh fetch                    Downloads BOTTLE_URL to BOTTLE, if its SHA-256 is BOTTLE_SHA256.
#   pipeline.sh check                    The files here are what the manifests render to. Prints each digest.
#   pipeline.sh review BASE HEAD FOLDER  What HEAD lets agents newly do since it left BASE. Writes comment.md and
#                                        annotations.txt into FOLDER. Reads commits, and no file of the checkout.
#   pipeline.sh commit BRANCH            Renders HEAD in a folder of its own, commits, pushes to BRANCH of origin.
#
# Exit codes are those of bottle: 0 as wanted, 1 differs or widens, 2 could not be done.
#
# BOTTLE is the program (`bottle` on the PATH). COMMENT is a shell command that posts the comment, which it reads from
# stdin; without it the comment is only written.
set -eu

say() { printf '%s\n' "$*" >&2; }
bottle() { command "${BOTTLE:-bottle}" "$@"; }

verb=${1:-}
case "$verb:$#" in
fetch:1 | check:1 | review:4 | commit:2) ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

if [ "$verb" = fetch ]; then
    : "${BOTTLE:?is not set: say where the program goes}" "${BOTTLE_URL:?is not set: say where the program is}"
    curl --fail --silent --show-error --location --output "$BOTTLE.new" "$BOTTLE_URL" || exit 2
    if ! printf '%s  %s\n' "${BOTTLE_SHA256:-none}" "$BOTTLE.new" | sha256sum -c >/dev/null 2>&1; then
        say "$BOTTLE_URL has the SHA-256 $(sha256sum <"$BOTTLE.new" | cut -d ' ' -f 1) and not BOTTLE_SHA256" \
            "(${BOTTLE_SHA256:-not set}): if you built that file, put its digest there; else do not run it"
        rm -f "$BOTTLE.new"
        exit 2
    fi
    chmod 755 "$BOTTLE.new"
    mv "$BOTTLE.new" "$BOTTLE"
    exit 0
fi

if [ "$verb" = review ]; then
    range="$2...$3" folder=$4
    mkdir -p "$folder"
    # 1 says that there is a difference, and that is no failure here.
    status=0
    bottle diff "$range" --format markdown >"$folder/comment.md" 2>"$folder/error.txt" || status=$?
    cat "$folder/error.txt" >&2
    if [ "$status" -gt 1 ]; then
        # What it says names files of the pull request: in a code block that it can't end.
        {
            printf '### bottle: what agents could newly do is not known\n\n```\n'
            head -c 20000 "$folder/error.txt" | tr '`' "'"
            printf '\n```\n'
        } >"$folder/comment.md"
    else
        bottle diff "$range" --format github >"$folder/annotations.txt" || [ $? -eq 1 ] || exit 2
    fi
    [ -z "${COMMENT:-}" ] || sh -c "$COMMENT" <"$folder/comment.md" || exit 2
    [ "$status" -le 1 ] || exit 2
    status=0
    bottle diff "$range" --fail-on widen || status=$?
    [ "$status" -ne 1 ] || say "agents can do more than before: who owns these bottles decides, not a pipeline"
    exit "$status"
fi

# Every manifest that git knows. A name with a line break stays quoted, and then there is no such file.
branch=${2:-}
cd "$(git rev-parse --show-toplevel)"
manifests=$(git -c core.quotePath=false ls-files -- ':(glob)**/bottle.yaml' ':(glob)**/*.bottle.yaml')
set --
while IFS= read -r file; do
    [ -z "$file" ] || set -- "$@" "$file"
done <<END
$manifests
END
if [ $# -eq 0 ]; then
    say "git knows no bottle.yaml and no NAME.bottle.yaml here: add one, or take this job away"
    exit 2
fi

if [ "$verb" = check ]; then
    status=0
    bottle render --check -- "$@" || status=$?
    exit "$status"
fi

# A folder of its own, which is removed: neither the checkout nor what this user agreed to is touched, so
# --accept-widening agrees to nothing that lasts.
top=$PWD
work=$(mktemp -d)
trap 'cd "$top"; rm -rf "$work"; git worktree prune' EXIT
git worktree add --quiet --detach "$work/tree" HEAD
cd "$work/tree"
status=0
XDG_STATE_HOME=$work/state bottle render --accept-widening -- "$@" >/dev/null || status=$?
[ "$status" -eq 0 ] || exit "$status"
git add --all -- ':(glob)**/.bottle/**'
if git diff --cached --quiet; then
    say "the rendered trees are committed already"
    exit 0
fi
git commit --quiet --message "chore: bottle render" || exit 2
git push --quiet origin "HEAD:refs/heads/$branch" || exit 2
say "committed to $branch: $(git rev-parse HEAD)"

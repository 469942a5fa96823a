# git: init, add, commit, log, branch, merge, clone, fsck.
set -e
cd "$(mktemp -d)"
export HOME=$PWD GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' GIT_CONFIG_NOSYSTEM=1
git config --global user.name Tester; git config --global user.email tester@example.org; git config --global init.defaultBranch main
git init -q repo && cd repo
for i in $(seq 1 100); do echo "line $i" >"f$i"; done
git add . && git commit -q -m first && git log --format='%s %an %H'
git checkout -q -b topic && echo change >>f1 && git commit -q -am second && git checkout -q main && echo other >>f2 && git commit -q -am third
git merge -q -m merged topic && git log --oneline | wc -l && git log -1 --format=%T
git gc -q && git fsck --strict 2>&1 | grep -v '^dangling' || true
git clone -q . ../clone && git -C ../clone log -1 --format='%s %H' && git status --short | wc -l
git diff HEAD~1 --stat | tail -n 1
git tag v1 && git archive v1 | tar -t | wc -l && git grep -c 'line 5' | wc -l

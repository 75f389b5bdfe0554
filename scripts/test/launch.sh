# Sourced by the scripts beside it. What the environment may say:
#   MODEL        model directory, or a shipped model      (default: the configurations')
#   DATA         folder of test-anno/ and videos/         (default: the configurations')
#   OUTPUT       where results go, a folder per benchmark (default: outputs/evaluation)
#   BENCHMARKS   which ones, by their names in configs/eval (default: all of the script's)
#   GPUS         processes on this node, one GPU each; 0 is one process on the CPU (default: 1)
#   TURNS        questions per query of recursive grounding (default: 4)
# Arguments are changes to the configurations, as key=value. A stopped run goes on when it is started again.
# A benchmark that fails, because its files are missing for example, does not keep the others from running: the failed
# ones are listed at the end, and the exit status is 1. Ctrl-C ends all.
set -euo pipefail

# From the caller's folder: environment.sh changes into the project's.
for name in DATA OUTPUT; do
    [ -z "${!name:-}" ] || declare "$name=$(realpath --canonicalize-missing "${!name}")"
done
[ ! -d "${MODEL:-}" ] || MODEL="$(realpath "$MODEL")"

# launch BENCHMARK [key=value ...]
launch() {
    local arguments=("output_dir=${OUTPUT:-outputs/evaluation}/$1" "max_turns=${TURNS:-4}") launcher=(python)
    local config="configs/eval/$1.yaml"
    shift
    [ -z "${MODEL:-}" ] || arguments+=("model=$MODEL")
    [ -z "${DATA:-}" ] || arguments+=("data_dir=$DATA")
    [ "${GPUS:-1}" != 0 ] || export CUDA_VISIBLE_DEVICES=
    [ "${GPUS:-1}" -le 1 ] || launcher=(torchrun --standalone --nproc_per_node "$GPUS")
    "${launcher[@]}" -m hawkeye evaluate "$config" "${arguments[@]}" "$@"
}

# launch_all BENCHMARKS [key=value ...]: each of them, whatever becomes of the others
launch_all() {
    local benchmarks="$1" benchmark status failed=()
    shift
    for benchmark in $benchmarks; do
        echo "== $benchmark"
        status=0
        launch "$benchmark" "$@" || status=$?
        [ "$status" != 130 ] || exit 130
        [ "$status" = 0 ] || failed+=("$benchmark")
    done
    [ ${#failed[@]} -gt 0 ] || return 0
    echo "not evaluated: ${failed[*]} (the errors are above; 'hawkeye evaluate --list' says which files each expects)" >&2
    exit 1
}

. "$(dirname "${BASH_SOURCE[0]}")/../environment.sh"

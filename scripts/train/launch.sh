# Sourced by the scripts beside it. What the environment may say:
#   MODEL        model directory to start from            (default: the configuration's)
#   DATA         folder of annotations and videos         (default: the configuration's)
#   GPUS         processes on this node, one GPU each; 0 is one process on the CPU, in float32
#   NODES, NODE_RANK, MASTER_ADDR, MASTER_PORT            for several nodes: run the script on each of them
#                (NCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME   where a node has several networks, the one between them)
#   ZERO         DeepSpeed's ZeRO stage, 2 or 3           (default: none, plain data parallelism)
# Further arguments of a script are changes to the configuration, as key=value.
set -euo pipefail

# From the caller's folder: environment.sh changes into the project's.
absolute() { realpath --canonicalize-missing "$1"; }
output="$(absolute "${1:?"usage: bash $0 OUTPUT_PATH ..."}")"
shift
[ -z "${MODEL:-}" ] || MODEL="$(absolute "$MODEL")"
[ -z "${DATA:-}" ] || DATA="$(absolute "$DATA")"

# launch CONFIG GPUS [key=value ...]
launch() {
    local config="$1" gpus="${GPUS:-$2}" arguments=("output_dir=$output") launcher=()
    shift 2
    . "$(dirname "${BASH_SOURCE[0]}")/../environment.sh"
    [ -z "${MODEL:-}" ] || arguments+=("model=$MODEL")
    [ -z "${DATA:-}" ] || arguments+=("data_dir=$DATA")
    [ -z "${ZERO:-}" ] || arguments+=("deepspeed=configs/deepspeed/zero$ZERO.json")
    if [ "$gpus" = 0 ]; then
        export CUDA_VISIBLE_DEVICES=
        arguments+=(precision=float32 frozen_precision=float32)
        launcher=(python)
    else
        launcher=(torchrun --nnodes "${NODES:-1}" --node_rank "${NODE_RANK:-0}" --nproc_per_node "$gpus"
                  --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-29500}")
    fi
    "${launcher[@]}" -m hawkeye train "$config" "${arguments[@]}" "$@"
}

#!/usr/bin/env bash
# Fine-tuning on ActivityNet-Captions, on 2 GPUs, from an instruction-tuned checkpoint:
# bash scripts/train/anetc.sh OUTPUT_PATH IT_CKPT
. "$(dirname "$0")/launch.sh"
checkpoint="$(absolute "${1:?"usage: bash $0 OUTPUT_PATH IT_CKPT"}")"
shift
launch configs/train/anetc.yaml 2 "weights=[$checkpoint]" "$@"

#!/usr/bin/env bash
# Fine-tuning on Charades-STA, on 2 GPUs, from an instruction-tuned checkpoint:
# bash scripts/train/charades_sta.sh OUTPUT_PATH IT_CKPT
. "$(dirname "$0")/launch.sh"
checkpoint="$(absolute "${1:?"usage: bash $0 OUTPUT_PATH IT_CKPT"}")"
shift
launch configs/train/charades_sta.yaml 2 "weights=[$checkpoint]" "$@"

#!/usr/bin/env bash
# Instruction tuning (stage 3) of the 7B model on HawkEye-IT, on 8 GPUs: bash scripts/train/run_7b_stage3.sh OUTPUT_PATH
. "$(dirname "$0")/launch.sh"
launch configs/train/stage3.yaml 8 "$@"

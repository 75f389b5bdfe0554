#!/usr/bin/env bash
# MVBench, NExT-QA, TVQA and STAR: bash scripts/test/videoqa.sh [key=value ...]
. "$(dirname "$0")/launch.sh"
launch_all "${BENCHMARKS:-mvbench nextqa tvqa star}" "$@"

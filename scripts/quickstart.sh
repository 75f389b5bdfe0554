#!/usr/bin/env bash
# From nothing to a found moment: renders a few videos, grounds queries in them with the model that ships with the
# package, draws a timeline, measures the model on held-out videos, and fine-tunes it for about a minute.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

out="${1:-outputs/quickstart}"
world="$out/world"
mkdir -p "$out"

echo; echo "1. Rendering a small world of moving shapes (real H.264 files) into $world"
python -m data_preparing.shapes --output "$world" --seed 7 --train-videos 30 --test-videos 16

echo; echo "2. Finding moments in a video that the model never saw"
mapfile -t found < <(python - "$world/test-anno/shapes-recursive_grounding.json" <<'PYTHON'
import json, sys
rows = json.load(open(sys.argv[1], encoding="utf-8"))
first = [row for row in rows if row["video"] == rows[0]["video"]][:2]
print(first[0]["video"])
for row in first:
    print(row["question"])
for row in first:
    print("really: " + row["question"] + ": %.1f to %.1f s" % tuple(row["answer"]))
PYTHON
)
hawkeye ground "$world/videos/${found[0]}" "${found[1]}" "${found[2]}" --plot "$out/timeline.png"
printf '%s\n' "${found[3]}" "${found[4]}"

echo; echo "3. Asking about the same video"
mapfile -t asked < <(python - "$world/test-anno/shapes-end.json" "${found[0]}" <<'PYTHON'
import json, sys
row = next(row for row in json.load(open(sys.argv[1], encoding="utf-8")) if row["video"] == sys.argv[2])
print(row["question"], *row["candidates"], row["answer"], sep="\n")
PYTHON
)
echo "${asked[0]}"
hawkeye ask "$world/videos/${found[0]}" "${asked[0]}"
hawkeye ask "$world/videos/${found[0]}" "${asked[0]}" --options "${asked[@]:1:4}"
echo "really: ${asked[5]}"

echo; echo "4. Measuring the model on the held-out videos of this world"
hawkeye evaluate configs/eval/shapes.yaml "data_dir=$world" "output_dir=$out/evaluation" restart=true

echo; echo "5. Fine-tuning the model for a minute on a new mix of questions"
rm -rf "$out/finetune"
hawkeye train configs/train/shapes_finetune.yaml "data_dir=$world" "output_dir=$out/finetune"

echo; echo "Done. What was made:"
for made in "$out/timeline.png:the timeline, with frames, turns and spans" \
            "$out/evaluation/results.json:every figure of the evaluation" \
            "$out/finetune/curve.png:how the loss fell" \
            "$out/finetune/model:the fine-tuned model (hawkeye ground VIDEO QUERY --model $out/finetune/model)" \
            "$world/videos/test:videos to try yourself"; do
    printf '  %-40s %s\n' "${made%%:*}" "${made#*:}"
done
[ -z "${VIRTUAL_ENV:-}" ] || printf '%s\n' "In a new shell, before any hawkeye command: source $VIRTUAL_ENV/bin/activate"

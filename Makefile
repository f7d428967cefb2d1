# Each target does all its own set-up: a .venv, the install, the run.
PYTHON ?= python3
BIN := .venv/bin
EFFICIENTNET := build/models/efficientnet_lite0.onnx

.PHONY: demo test lint conformance scoreboard benchmarks clean

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(EFFICIENTNET): .venv/.ready experiments/models/efficientnet_lite0.py
	$(BIN)/python experiments/models/efficientnet_lite0.py $@

build/photographs: .venv/.ready experiments/models/photographs.py
	$(BIN)/python experiments/models/photographs.py $@
	touch $@

demo: .venv/.ready $(EFFICIENTNET) build/photographs
	$(BIN)/deltann compare --model $(EFFICIENTNET) --backends torch,ort,tvm-O3 \
	  --inputs build/photographs --preprocess efficientnet-lite

test: .venv/.ready
	$(BIN)/pytest

conformance: .venv/.ready
	$(BIN)/pytest -m 'long or not long'

scoreboard: .venv/.ready
	$(BIN)/deltann scoreboard --backends reference,ort,torch,openvino-f32,tract,iree,tvm,tflite,tf \
	  --out build/scoreboard --markdown docs/scoreboard.md

benchmarks: .venv/.ready
	$(BIN)/pip install --quiet --no-deps polygraphy==0.53.6
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/compare_overhead.py
	$(BIN)/python benchmarks/judging.py
	$(BIN)/python benchmarks/seeded_faults.py --out build/seeded_faults
	$(BIN)/python benchmarks/time_error_rates.py --out build/time_error_rates.csv

lint: .venv/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf build .venv

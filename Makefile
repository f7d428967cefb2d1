# Each target does all its own set-up: a .venv, the install, the run.
PYTHON ?= python3
BIN := .venv/bin
EFFICIENTNET := build/models/efficientnet_lite0.onnx

RESNET := build/models/resnet50.onnx
NOX := build/nox/launcher/bin/nox
RUN_MATRIX := experiments/05_matrix/run.py --baselines build/matrix/state/baselines
NIGHTLY ?=

.PHONY: demo test lint conformance scoreboard benchmarks clean
.PHONY: test-backend matrix-models matrix matrix-row matrix-site matrix-plan nightly

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
	  --inputs build/photographs --preprocess efficientnet-lite --html build/report.html

test: .venv/.ready
	$(BIN)/pytest

conformance: .venv/.ready
	$(BIN)/pytest -m 'long or not long'

scoreboard: .venv/.ready
	$(BIN)/deltann scoreboard --backends reference,ort,torch,openvino-f32,tract,iree,tvm,tflite,tf \
	  --out build/scoreboard/$$(git rev-parse --short HEAD) --markdown docs/scoreboard.md

benchmarks: .venv/.ready
	$(BIN)/pip install --quiet --no-deps polygraphy==0.53.6
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/pytest_collect.py
	$(BIN)/python benchmarks/compare_overhead.py
	$(BIN)/python benchmarks/judging.py
	$(BIN)/python benchmarks/seeded_faults.py --out build/seeded_faults
	$(BIN)/python benchmarks/time_error_rates.py --out build/time_error_rates.csv

lint: .venv/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Environments of their own, by nox (noxfile.py): a backend's tests with nothing but its own extra; a row of the matrix.
$(NOX): constraints.txt
	$(PYTHON) -m venv build/nox/launcher
	build/nox/launcher/bin/pip install --quiet --constraint constraints.txt nox
	touch $@

test-backend: $(NOX)
	@test -n "$(BACKEND)" || { echo "which one? make test-backend BACKEND=ort" >&2; exit 2; }
	$(NOX) --session "backend($(BACKEND))"

# The matrix of backends and devices (experiments/05_matrix); NIGHTLY=--bench times it too, --accept accepts what it finds.
$(RESNET): .venv/.ready experiments/models/resnet50.py
	$(BIN)/python experiments/models/resnet50.py $@

matrix-models: $(EFFICIENTNET) $(RESNET) build/photographs

matrix: matrix-models
	$(BIN)/python $(RUN_MATRIX) --out build/matrix/results/all $(NIGHTLY)

matrix-row: $(NOX)
	@test -n "$(ROW)" || { echo "which one? make matrix-row ROW=torch-cuda, perhaps with NEWEST=1" >&2; exit 2; }
	$(NOX) --session "$(if $(NEWEST),newest,matrix)($(ROW))" -- $(NIGHTLY)

matrix-plan:
	@$(PYTHON) experiments/05_matrix/plan.py

matrix-site: $(NOX)
	$(NOX) --session site

# The pages are made of a night that fails too, which is when one reads them; the first code counts. In one recipe, since
# two prerequisites would run side by side under -j.
nightly: matrix-models $(NOX)
	@code=0; set -x; \
	$(BIN)/python $(RUN_MATRIX) --out build/matrix/results/all $(NIGHTLY) || code=$$?; \
	$(NOX) --session site -- --pinned || { site=$$?; [ $$code -ne 0 ] || code=$$site; }; \
	exit $$code

clean:
	rm -rf build .venv

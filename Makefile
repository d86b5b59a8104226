# Everything a person or CI does with this repository; each target sets up what it needs on a bare Debian or Ubuntu.
#   make run        let the experts demonstrate for a few minutes, export the shipped policy to INT4 calibrated on that, and
#                   drive the simulated arm with it, through the firmware
#   make test       all tests but the slow ones;  make test-slow: the slow ones;  make lint: formatters, linters, types
#   make evaluate   held-out episodes, 100 a task: act, think and follow with INT4; INT4 against f32 on 167 more a task
#   make parity     the core against PyTorch on 1000 observations, f32 and INT4
#   make quantization   what each way to quantise the shipped policy costs and keeps
#   make bench      timings of the shipped policy and of random 0.5B and 3B shapes, and against llama.cpp, onnxruntime, PyTorch
#   make bench-avx2  the timings against llama.cpp with both held to AVX2, on a CPU that has more
#   make firmware-check   cppcheck over the firmware;  make firmware-size: its flash, RAM and deepest stack
#   make neon-check   tests of the core's Arm kernels, cross-compiled, on an emulated CPU with and one without int8 dot products
#   make sanitize     the core's own tests with AddressSanitizer and UndefinedBehaviorSanitizer
#   make vulkan-check   the core on a Vulkan device (Mesa's, on the CPU, will do), with a ggml built for it
#   make fuzz       a coverage-guided fuzzer on the firmware for FUZZ_SECONDS, ten minutes
#   make policy     collect demonstrations and fit the shipped policy again (hours on two cores)

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
OUT ?= out
BIN := $(VENV)/bin
TASKS := drawer-open-v3,drawer-close-v3,door-open-v3,window-open-v3,window-close-v3,button-press-topdown-v3
MORE_TASKS := reach-v3,push-v3,pick-place-v3
PACKED := --packed --weights 0.4,0.4,0.2
ROBOT := sim:metaworld/$(TASKS)
FIRMWARE := firmware_bridge/firmware
FUZZ_SECONDS := 600
POLICY := policies/metaworld-arm
SHAPE_0.5b := 0.5b
SHAPE_3b := paligemma2-3b
PACKAGES := python runtime export dataset firmware_bridge training simulation
SOURCES := $(shell find $(PACKAGES) csrc -type f -not -path '*/__pycache__/*') CMakeLists.txt pyproject.toml
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test test-slow lint format neon-check sanitize vulkan-check firmware-check firmware-size fuzz evaluate parity quantization bench bench-avx2 policy setup setup-dev clean
.DELETE_ON_ERROR:

run: setup $(OUT)/metaworld-arm.hyt/manifest.json
	$(BIN)/hyt-run drive $(OUT)/metaworld-arm.hyt --robot $(ROBOT) --mode act --episodes 10 --seed 2000000 \
	    --film $(OUT)/film --json $(OUT)/act.json
	$(BIN)/hyt-run drive $(OUT)/metaworld-arm.hyt --robot $(ROBOT) --mode think --episodes 2 --seed 2000000 \
	    --film $(OUT)/film --json $(OUT)/think.json
	$(BIN)/hyt-run drive $(OUT)/metaworld-arm.hyt --robot $(ROBOT) --mode follow --episodes 2 --seed 2000000 \
	    --film $(OUT)/film --json $(OUT)/follow.json
	@echo "Films and filmstrips are in $(OUT)/film, the numbers in $(OUT)/act.json, think.json and follow.json."

test: setup-dev
	$(BIN)/python -m pytest

test-slow: setup-dev
	$(BIN)/python -m pytest -m slow

lint: setup-dev firmware-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p hyt
	git ls-files '*.c' '*.h' '*.cpp' '*.cc' | xargs $(BIN)/clang-format --dry-run -Werror

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files '*.c' '*.h' '*.cpp' '*.cc' | xargs $(BIN)/clang-format -i

# Registers and vectors are members that no code of ours reads.
firmware-check: $(VENV)/.system
	cppcheck --quiet --std=c11 --error-exitcode=1 --enable=warning,style,performance,portability --inline-suppr \
	    --suppress=missingIncludeSystem --suppress=unusedStructMember -I$(FIRMWARE)/core -I$(FIRMWARE)/ports/shared \
	    $(FIRMWARE)/core $(FIRMWARE)/ports

# The kernels are compiled for Armv8.2, all else for any 64-bit Arm: what CMake does there.
NEON := -std=c++17 -O2 -Wall -Wextra -Wpedantic -Werror -Icsrc/include
neon-check: $(VENV)/.system
	.ci/system-packages g++-aarch64-linux-gnu qemu-user
	mkdir -p build/neon
	aarch64-linux-gnu-g++ $(NEON) -march=armv8.2-a+dotprod+fp16 -ffp-contract=off -c csrc/src/strips/neon_dot.cpp \
	    -o build/neon/neon_dot.o
	aarch64-linux-gnu-g++ $(NEON) -static csrc/src/strips/strips.cpp csrc/tests/strips_test.cpp build/neon/neon_dot.o \
	    -o build/neon/strips_test
	aarch64-linux-gnu-g++ $(NEON) -static -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math \
	    csrc/tests/simd_test.cpp -o build/neon/simd_test
	aarch64-linux-gnu-g++ $(NEON) -static csrc/src/team.cpp csrc/tests/team_test.cpp -o build/neon/team_test
	set -o pipefail; qemu-aarch64 -cpu cortex-a76 build/neon/strips_test | grep -x NEON_DOTPROD
	set -o pipefail; qemu-aarch64 -cpu cortex-a72 build/neon/strips_test | grep -x "no kernels for this CPU"
	qemu-aarch64 -cpu cortex-a72 build/neon/simd_test
	qemu-aarch64 -cpu cortex-a72 build/neon/team_test

# Without the test that counts allocations: sanitizers have allocation functions of their own.
sanitize: $(VENV)/.build
	$(BIN)/cmake -S . -B build/sanitize -DHYT_SANITIZE=ON -DHYT_BUILD_TESTS=ON -DHYT_BUILD_FIRMWARE=OFF \
	    -DCMAKE_PREFIX_PATH="$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')" \
	    -Dpybind11_DIR="$$($(BIN)/python -m pybind11 --cmakedir)" -DPYTHON_EXECUTABLE="$(abspath $(BIN))/python"
	$(BIN)/cmake --build build/sanitize --target hyt_core_tests --parallel
	$(BIN)/ctest --test-dir build/sanitize -R '^core/' --output-on-failure

# In an environment of its own, as bench-avx2: half an hour the first time. ggml takes a processor (Mesa's llvmpipe) for a
# device only where its number is named.
vulkan-check:
	.ci/system-packages libvulkan-dev glslc spirv-headers mesa-vulkan-drivers
	CMAKE_ARGS="-DGGML_VULKAN=on" CXXFLAGS="-I$(CURDIR)/csrc/tests/vulkan_headers" SKBUILD_BUILD_DIR=build/vulkan \
	    PIP_NO_CACHE_DIR=1 $(MAKE) VENV=$(VENV)-vulkan setup-dev
	GGML_VK_VISIBLE_DEVICES=0 HYT_TEST_DEVICES=vulkan $(VENV)-vulkan/bin/python -m pytest tests/core/test_device.py \
	    tests/policies/test_device.py

firmware-size: $(VENV)/.build
	$(BIN)/cmake -S $(FIRMWARE) -B build/firmware
	$(BIN)/cmake --build build/firmware
	for port in stm32f4 qemu; do $(BIN)/python $(FIRMWARE)/stack_usage.py build/firmware $$port || exit; done

# What it finds is left in build/fuzz, and its name is the last line.
fuzz: $(VENV)/.system
	.ci/system-packages clang
	runtime=libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev; \
	    if apt-cache show $$runtime >/dev/null 2>&1; then .ci/system-packages $$runtime; fi
	mkdir -p build/fuzz/corpus
	clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Wall -Wextra -Wconversion \
	    -Wno-unused-function -Werror -I$(FIRMWARE)/core $(FIRMWARE)/core/*.c $(FIRMWARE)/tests/fuzz_firmware.c \
	    -o build/fuzz/fuzz_firmware
	build/fuzz/fuzz_firmware build/fuzz/corpus -artifact_prefix=build/fuzz/ -max_total_time=$(FUZZ_SECONDS) \
	    -max_len=2048 -timeout=10 -print_final_stats=1

evaluate: setup $(OUT)/metaworld-arm.hyt/manifest.json $(OUT)/metaworld-arm-f32.hyt/manifest.json
	$(BIN)/hyt-train evaluate $(OUT)/metaworld-arm.hyt --modes act,think,gate,follow,follow-own --tasks $(TASKS) \
	    --json $(OUT)/evaluate.json
	$(BIN)/hyt-train evaluate $(OUT)/metaworld-arm.hyt --modes act,think --tasks $(MORE_TASKS) \
	    --json $(OUT)/evaluate-more.json
	$(BIN)/hyt-train evaluate $(OUT)/metaworld-arm-f32.hyt $(OUT)/metaworld-arm.hyt --modes act --seeds paired \
	    --tasks $(TASKS) --json $(OUT)/evaluate-paired.json
	$(BIN)/hyt-train evaluate $(OUT)/metaworld-arm.hyt --modes act-midway,follow-opposite --json $(OUT)/opposite.json
	$(BIN)/hyt-train evaluate $(OUT)/metaworld-arm.hyt --protocol lerobot-mt50 --json $(OUT)/mt50.json

parity: setup-dev $(OUT)/metaworld-arm.hyt/manifest.json $(OUT)/metaworld-arm-f32.hyt/manifest.json
	$(BIN)/python benchmarks/parity.py $(POLICY) $(OUT)/metaworld-arm-f32.hyt
	$(BIN)/python benchmarks/parity.py $(POLICY) $(OUT)/metaworld-arm.hyt --against $(OUT)/metaworld-arm-f32.hyt

quantization: setup-dev $(OUT)/calibration/meta/info.json
	$(BIN)/python benchmarks/quantization.py $(POLICY) $(OUT)/calibration --work $(OUT)/quantization \
	    --json $(OUT)/quantization.json

bench: setup-dev $(OUT)/metaworld-arm.hyt/manifest.json $(OUT)/metaworld-arm-onnx.hyt/manifest.json \
    $(OUT)/random-0.5b.hyt/manifest.json $(OUT)/random-3b.hyt/manifest.json
	$(BIN)/hyt-run bench $(OUT)/metaworld-arm.hyt --threads 1 --repeat 200 --json $(OUT)/bench-metaworld-arm.json
	$(BIN)/hyt-run bench $(OUT)/random-0.5b.hyt --threads 2 --repeat 10 --json $(OUT)/bench-random-0.5b.json
	$(BIN)/hyt-run bench $(OUT)/random-3b.hyt --threads 2 --repeat 3 --json $(OUT)/bench-random-3b.json
	$(BIN)/hyt-run bench $(OUT)/metaworld-arm.hyt --threads 1 --schedule --json $(OUT)/bench-schedule.json
	$(BIN)/hyt-run bench $(OUT)/metaworld-arm.hyt --threads 1 --repeat 200 --profile
	$(BIN)/python benchmarks/gemm.py --threads 2 --json $(OUT)/gemm.json
	$(BIN)/python benchmarks/gemm.py --threads 2 --isa avx2 --json $(OUT)/gemm-avx2.json
	$(BIN)/python benchmarks/peers.py $(OUT)/metaworld-arm-onnx.hyt --threads 1 --thought 15 --repeat 200 \
	    --json $(OUT)/peers-metaworld-arm.json
	$(BIN)/python benchmarks/peers.py $(OUT)/random-0.5b.hyt --thought 100 --repeat 10 --json $(OUT)/peers-0.5b.json
	$(BIN)/python benchmarks/peers.py $(OUT)/random-3b.hyt --thought 0 --repeat 10 --json $(OUT)/peers-3b.json

# llama.cpp and ours, both built for AVX2 and nothing newer, in an environment of their own: on a CPU that has more.
# pip keeps built wheels by their names alone, so here it keeps and takes none.
bench-avx2: $(OUT)/metaworld-arm.hyt/manifest.json $(OUT)/random-0.5b.hyt/manifest.json $(OUT)/random-3b.hyt/manifest.json
	CMAKE_ARGS="-DGGML_NATIVE=OFF -DHYT_ARCH=x86-64-v3" SKBUILD_BUILD_DIR=build/avx2 PIP_NO_CACHE_DIR=1 \
	    $(MAKE) VENV=$(VENV)-avx2 setup-dev
	for case in "metaworld-arm 1 15 200" "random-0.5b 2 100 20" "random-3b 2 0 10"; do set -- $$case; \
	    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 FBGEMM_ENABLE_INSTRUCTIONS=AVX2 \
	    $(VENV)-avx2/bin/python benchmarks/peers.py $(OUT)/$$1.hyt --threads $$2 --thought $$3 --repeat $$4 \
	        --against llama.cpp --json $(OUT)/peers-avx2-$$1.json || exit; done

policy: setup-dev
	$(BIN)/hyt-train collect $(OUT)/data --episodes 350
	$(BIN)/hyt-train fit $(OUT)/data -o $(OUT)/first --name metaworld-arm $(PACKED) --steps 3500
	$(BIN)/hyt-export $(OUT)/first -o $(OUT)/first.hyt --force
	$(BIN)/hyt-train collect $(OUT)/data --policy $(OUT)/first.hyt --modes act,think --episodes 160
	$(BIN)/hyt-train fit $(OUT)/data -o $(OUT)/policy --init $(OUT)/first $(PACKED) --steps 4000 \
	    --learning-rate 8e-4 --warm-up 0.02 --decay 0.98
	$(BIN)/hyt-train gate $(OUT)/policy $(OUT)/data

# What the policy sees: the experts' episodes, which it was trained on among others.
$(OUT)/calibration/meta/info.json: | $(VENV)/.installed
	$(BIN)/hyt-train collect $(OUT)/calibration --episodes 20

$(OUT)/metaworld-arm.hyt/manifest.json: $(wildcard $(POLICY)/*) $(OUT)/calibration/meta/info.json $(VENV)/.installed
	$(BIN)/hyt-export $(POLICY) -o $(OUT)/metaworld-arm.hyt --calibration $(OUT)/calibration \
	    --calibration-observations 256 --force

$(OUT)/metaworld-arm-onnx.hyt/manifest.json: $(wildcard $(POLICY)/*) $(VENV)/.installed $(VENV)/.dev
	$(BIN)/hyt-export $(POLICY) -o $(OUT)/metaworld-arm-onnx.hyt --onnx --force

$(OUT)/metaworld-arm-f32.hyt/manifest.json: $(wildcard $(POLICY)/*) $(VENV)/.installed
	$(BIN)/hyt-export $(POLICY) -o $(OUT)/metaworld-arm-f32.hyt --quantization f32 --force

$(OUT)/random-0.5b.hyt/manifest.json $(OUT)/random-3b.hyt/manifest.json: $(OUT)/random-%.hyt/manifest.json: \
    benchmarks/make_random_checkpoint.py $(VENV)/.installed $(VENV)/.dev
	rm -rf $(OUT)/random-$*
	$(BIN)/python benchmarks/make_random_checkpoint.py $(OUT)/random-$* --shape $(SHAPE_$*)
	$(BIN)/hyt-export $(OUT)/random-$* -o $(OUT)/random-$*.hyt --onnx --force
	rm -rf $(OUT)/random-$*

# What the robot and the simulator need: no torch.
setup: $(VENV)/.installed
# What tests, linters and training need on top.
setup-dev: $(VENV)/.installed $(VENV)/.dev

$(VENV)/.system: .ci/system-packages
	.ci/system-packages
	$(PYTHON) -m venv $(VENV)
	touch $@

# The build requirements stand in the environment, so that a rebuild takes seconds and ggml is built once.
$(VENV)/.build: $(VENV)/.system
	$(BIN)/pip install --upgrade pip
	$(BIN)/pip install "scikit-build-core>=0.11" "pybind11>=3" "cmake>=3.22" ninja "llama-cpp-python==0.3.36"
	touch $@

$(VENV)/.installed: $(VENV)/.build $(SOURCES)
	$(BIN)/pip install --quiet --no-build-isolation ".[sim,dataset]"
	touch $@

$(VENV)/.dev: $(VENV)/.build pyproject.toml
	if command -v chromium >/dev/null || apt-cache show chromium >/dev/null 2>&1; \
	    then .ci/system-packages chromium chromium-driver; \
	    else .ci/system-packages chromium-browser chromium-chromedriver; fi  # as Ubuntu calls them
	$(BIN)/pip install "torch==2.13.0"
	$(BIN)/pip install --no-build-isolation ".[sim,train,dev]"
	touch $@

clean:
	rm -rf $(VENV) $(OUT) build

"""The engines that compute a policy, behind one interface: `core.py` is ours in C++, `onnx*.py` drive onnxruntime."""

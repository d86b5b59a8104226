"""ONNX graphs of a bundle, made of the very blocks of its GGUF files; `writer.write_onnx` is the way in.

fused   onnxruntime's own operators: MatMulNBits, GroupQueryAttention
qdq     the ONNX standard's alone, INT4 as Q/DQ: TensorRT
"""

VARIANTS = ("fused", "qdq")

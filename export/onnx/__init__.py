"""ONNX graphs of a bundle, made of the very blocks of its GGUF files; `writer.write_onnx` is the way in.

fused   onnxruntime's own operators: MatMulNBits, GroupQueryAttention
"""

VARIANTS = ("fused",)

"""Post-training quantization: real tensors as integers with a scale."""

from fhecost.quantization.clipping import least_error_quantizer as least_error_quantizer
from fhecost.quantization.clipping import least_error_scales as least_error_scales
from fhecost.quantization.quantizer import FloatArray as FloatArray
from fhecost.quantization.quantizer import IntArray as IntArray
from fhecost.quantization.quantizer import Quantizer as Quantizer
from fhecost.quantization.quantizer import calibrate as calibrate
from fhecost.quantization.quantizer import check_bits as check_bits
from fhecost.quantization.quantizer import largest_integer as largest_integer
from fhecost.quantization.quantizer import quantizer_for as quantizer_for

"""What a model file may name, by list: pure functions, and layers that only compute.

Nothing is on a list that reads or writes a file, imports, calls what it is given, draws random numbers outside of
training, or keeps a state that outlives a call. A test asks tf_keras and TensorFlow whether they have each name.
"""

DIMENSIONS = ("1D", "2D", "3D")
NETWORKS = ("Functional", "Sequential", "Model")
LAYERS = frozenset({
    *NETWORKS, "InputLayer", "Dense", "EinsumDense", "Embedding", "Activation", "Masking", "Identity",
    # convolutions
    *(f"{kind}{n}" for kind in ("Conv", "Convolution", "ConvLSTM", "SpatialDropout") for n in DIMENSIONS),
    *(f"{kind}{n}Transpose" for kind in ("Conv", "Convolution") for n in DIMENSIONS),
    *(f"{kind}{n}" for kind in ("SeparableConv", "SeparableConvolution", "DepthwiseConv") for n in DIMENSIONS[:2]),
    *(f"LocallyConnected{n}" for n in DIMENSIONS[:2]),
    # pooling and shapes
    *(f"{how}Pooling{n}" for how in ("Max", "Average", "GlobalMax", "GlobalAverage") for n in DIMENSIONS),
    *(f"{how}Pool{n}" for how in ("Max", "Avg", "GlobalMax", "GlobalAvg") for n in DIMENSIONS),
    *(f"{what}{n}" for what in ("ZeroPadding", "Cropping", "UpSampling") for n in DIMENSIONS),
    "Flatten", "Reshape", "Permute", "RepeatVector",
    # several inputs
    "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot",
    "Attention", "AdditiveAttention", "MultiHeadAttention",
    # activations, regularization, normalization
    "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax",
    "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization",
    "BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization",
    "LayerNormalization", "GroupNormalization", "UnitNormalization", "SpectralNormalization", "Normalization",
    # recurrent ones, and those that wrap another
    "RNN", "StackedRNNCells", "SimpleRNN", "SimpleRNNCell", "LSTM", "LSTMCell", "GRU", "GRUCell", "LSTMV2", "GRUV2",
    "Bidirectional", "TimeDistributed",
    "CustomScaleLayer", "Custom>CustomScaleLayer",  # of tf_keras' InceptionResNetV2
    # images and numbers as they come
    "Rescaling", "Resizing", "CenterCrop", "CategoryEncoding", "Discretization", "Hashing", "HashedCrossing",
    *(f"Random{what}" for what in ("Brightness", "Contrast", "Crop", "Flip", "Height", "Rotation", "Translation",
                                   "Width", "Zoom")),
})  # fmt: skip
OPERATOR_LAYERS = ("TFOpLambda", "SlicingOpLambda")  # they call what stands in their `function`
HOMES = {  # where tf_keras has the classes that it exports under no namespace of their role
    "Functional": "tf_keras.src.engine.functional",
    "Sequential": "keras",
    "Model": "keras",
    **dict.fromkeys(OPERATOR_LAYERS, "tf_keras.src.layers.core.tf_op_layer"),
}
INITIALIZERS = frozenset({
    "Zeros", "Ones", "Constant", "Identity", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal",
    "VarianceScaling", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform",
    "zeros", "ones", "constant", "identity", "orthogonal", "random_normal", "random_uniform", "truncated_normal",
    "variance_scaling", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform",
    "zero", "one", "normal", "uniform",
})  # fmt: skip
REGULARIZERS = frozenset(
    {"L1", "L2", "L1L2", "OrthogonalRegularizer", "l1", "l2", "l1_l2", "orthogonal_regularizer"}
)  # fmt: skip
CONSTRAINTS = frozenset({
    "MaxNorm", "MinMaxNorm", "NonNeg", "RadialConstraint", "UnitNorm",
    "max_norm", "min_max_norm", "non_neg", "radial_constraint", "unit_norm",
})  # fmt: skip
ACTIVATIONS = frozenset({
    "elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6",
    "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
})  # fmt: skip
ACTIVATION_LAYERS = frozenset({"ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax", "Activation"})


def _under(space: str, names: str) -> set[str]:
    """The names of a namespace of TensorFlow, from a text."""
    return {f"{space}.{name}" if space else name for name in names.split()}


# operators of TensorFlow that a Functional model calls by name (`x + y`, `tf.nn.relu(x)`)
OPERATORS = frozenset(
    _under("", """
        argsort boolean_mask broadcast_to cast clip_by_norm clip_by_value concat convert_to_tensor
        einsum ensure_shape expand_dims fill gather gather_nd identity linspace meshgrid norm one_hot
        ones_like pad range rank realdiv repeat reshape reverse reverse_sequence roll scatter_nd
        searchsorted sequence_mask shape size slice sort space_to_batch batch_to_space split squeeze
        stack stop_gradient strided_slice tensor_scatter_nd_add tensor_scatter_nd_update tensordot tile
        transpose truncatediv truncatemod unstack where zeros_like add_n matmul
    """)
    | _under("compat.v1", "floor_div")  # `x // y`, which has no other name
    | _under("__operators__", """
        add eq ne
    """)
    | _under("math", """
        abs accumulate_n acos acosh add add_n angle argmax argmin asin asinh atan atan2 atanh bessel_i0
        bessel_i0e bessel_i1 bessel_i1e ceil conj cos cosh count_nonzero cumprod cumsum
        cumulative_logsumexp digamma divide divide_no_nan equal erf erfc erfcinv erfinv exp expm1 floor
        floordiv floormod greater greater_equal imag is_finite is_inf is_nan l2_normalize less
        less_equal lgamma log log1p log_sigmoid logical_and logical_not logical_or logical_xor maximum
        minimum multiply multiply_no_nan negative not_equal polyval pow real reciprocal
        reciprocal_no_nan reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max
        reduce_mean reduce_min reduce_prod reduce_std reduce_sum reduce_variance rint round rsqrt
        scalar_mul segment_max segment_mean segment_min segment_prod segment_sum sigmoid sign sin sinh
        softplus sqrt square squared_difference subtract tan tanh top_k truediv unsorted_segment_max
        unsorted_segment_mean unsorted_segment_min unsorted_segment_prod unsorted_segment_sum xdivy
        xlog1py xlogy zero_fraction
    """)
    | _under("nn", """
        atrous_conv2d avg_pool avg_pool1d avg_pool2d avg_pool3d batch_normalization bias_add conv1d
        conv2d conv3d conv1d_transpose conv2d_transpose conv3d_transpose conv_transpose convolution
        crelu depth_to_space depthwise_conv2d dilation2d elu embedding_lookup erosion2d gelu l2_loss
        l2_normalize leaky_relu local_response_normalization log_softmax lrn max_pool max_pool1d
        max_pool2d max_pool3d moments normalize_moments pool relu relu6 selu separable_conv2d sigmoid
        silu softmax softplus softsign space_to_depth swish tanh top_k weighted_moments
    """)
    | _under("linalg", """
        adjoint band_part cross det diag diag_part einsum inv l2_normalize matmul matrix_transpose
        matvec norm normalize set_diag tensor_diag tensor_diag_part tensordot trace triangular_solve
    """)
    | _under("image", """
        adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_saturation central_crop
        convert_image_dtype crop_and_resize crop_to_bounding_box extract_patches flip_left_right
        flip_up_down grayscale_to_rgb hsv_to_rgb image_gradients pad_to_bounding_box
        per_image_standardization resize resize_with_crop_or_pad resize_with_pad rgb_to_grayscale
        rgb_to_hsv rgb_to_yiq rgb_to_yuv rot90 sobel_edges total_variation transpose yiq_to_rgb
        yuv_to_rgb
    """)
    | _under("signal", """
        dct fft fft2d fft3d fftshift frame idct ifft ifft2d ifft3d ifftshift inverse_stft irfft irfft2d
        irfft3d linear_to_mel_weight_matrix mdct mfccs_from_log_mel_spectrograms overlap_and_add rfft
        rfft2d rfft3d stft
    """)
)  # fmt: skip
SLICES = frozenset({"__operators__.getitem", "boolean_mask", "compat.v1.boolean_mask"})

# what Keras 3 calls by names of its own
KERAS3_OPERATIONS = frozenset(  # each stands in the table of `operations`
    _under("", """
        Abs Absolute Add All Amax Amin Any Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax
        Argmin Argsort AveragePool Cast Ceil Celu Clip Concatenate ConvertToTensor Copy Cos Cosh
        CountNonzero Cumprod Cumsum Deg2rad DepthToSpace Divide Dot Einsum Elu Equal Erf Erfc Exp Exp2
        ExpandDims Expm1 Fabs Flip Fliplr Floor FloorDivide Gelu GetItem Glu Greater GreaterEqual HardShrink
        HardSigmoid HardSilu HardTanh Hstack Hypot Isfinite Isinf Isnan LeakyRelu Less LessEqual Log Log10
        Log1p Log2 LogSigmoid LogSoftmax Logaddexp LogicalAnd LogicalNot LogicalOr LogicalXor Logsumexp
        Matmul Max MaxPool Maximum Mean Min Minimum Mod Moments Moveaxis Multiply Negative Norm Normalize
        NotEqual OneHot OnesLike Pad Power Prod Ptp RGBToGrayscale Rad2deg Reciprocal Relu Relu6 Repeat
        Reshape Resize Roll Round Rsqrt Selu Sigmoid Sign Silu Sin Sinh Slice SoftShrink Softmax Softplus
        Softsign Sort SpaceToDepth Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum
        Swapaxes Take Tan Tanh TanhShrink Tensordot Threshold Tile TopK Transpose TrueDivide Trunc Unstack
        Var Where ZerosLike
    """)
)  # fmt: skip
KERAS3_LAYERS = frozenset({"RMSNormalization", "LayerScale"})  # each stands in tasks/training/layers.py
KERAS3_INITIALIZERS = frozenset({"OrthogonalInitializer", "IdentityInitializer"})  # as they were called until 3.6
KERAS3_ACTIVATIONS = frozenset({  # `rebuild` refuses by name those that tf_keras has no match for
    "celu", "glu", "hard_shrink", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "soft_shrink",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh_shrink", "threshold",
})  # fmt: skip

# the largest number under a key that says how much of something there is; Keras asks for memory, or loops, by it
EXTENTS = {
    **dict.fromkeys(
        ("units", "filters", "depth_multiplier", "groups", "num_heads", "key_dim", "value_dim", "input_dim",
         "output_dim", "num_tokens", "height", "width", "kernel_size", "pool_size", "strides", "dilation_rate",
         "padding", "cropping", "output_padding"),
        1 << 24,
    ),
    **dict.fromkeys(  # of axes, of which some layers make one tensor for each place: a minute of sound has 2 ** 20
        ("batch_input_shape", "batch_shape", "build_input_shape", "input_shape", "input_length", "target_shape",
         "output_shape", "noise_shape", "n"),
        1 << 20,
    ),
    **dict.fromkeys(("size", "num", "num_or_size_splits", "axes"), 1 << 12),  # of a loop in Python
}  # fmt: skip

# plain values that JSON has no word for
VALUES = frozenset({
    "__tuple__", "__ellipsis__", "__tensor__", "__numpy__", "__bytes__", "__keras_tensor__", "__slice__", "slice",
    "TensorShape", "DTypePolicy", "Policy", "SeedGenerator",
})  # fmt: skip

# refused with a sentence of their own
READERS = frozenset({"StringLookup", "IntegerLookup", "TextVectorization", "DenseFeatures", "SequenceFeatures"})
TFMOT = {  # the wrappers of TensorFlow Model Optimization, and what takes them off
    "PruneLowMagnitude": "tfmot.sparsity.keras.strip_pruning",
    "ClusterWeights": "tfmot.clustering.keras.strip_clustering",
    "ClusterWeightsMHA": "tfmot.clustering.keras.strip_clustering",
    "QuantizeWrapper": None,
    "QuantizeWrapperV2": None,
    "QuantizeAnnotate": None,
    "QuantizeLayer": None,
}
CALLS = "calls a SavedModel, which has no layers to compress: build the model with the layers themselves"
INSTEAD = {  # what comes of older or other versions of Keras, or of TensorFlow Hub, and what to build in its place
    "TensorFlowOpLayer": "is an operator of a graph, as TensorFlow before 2.4 has kept it: save the model with layers "
    "in its place",
    "CuDNNGRU": "runs on NVIDIA GPUs alone: build the model with GRU(reset_after=True), whose load_weights takes those "
    "of an .h5 file, and save that",
    "CuDNNLSTM": "runs on NVIDIA GPUs alone: build the model with LSTM, whose load_weights takes those of an .h5 file, "
    "and save that",
    "UnifiedGRU": "is what TensorFlow 1.14 calls GRU(reset_after=True): build the model with that, load its weights, "
    "and save it",
    "UnifiedLSTM": "is what TensorFlow 1.14 calls LSTM: build the model with that, load its weights, and save it",
    "KerasLayer": CALLS,
    "TFSMLayer": CALLS,
}

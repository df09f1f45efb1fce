"""The families of `model`."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.members import FAMILIES
from tasks.params.chosen import Chosen
from tasks.params.section import Count, Section

Activation = Literal["relu", "relu6", "elu", "swish", "tanh"]
Initializer = Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal", "orthogonal"]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[float, Field(gt=0, le=4)]  # multiplies every layer's channels


class Hidden(Section):
    """The layers between input and answer of a family whose sizes are one's own."""

    activation: Activation = "relu"  # of dense layers and convolutions; a recurrent cell has its own
    initializer: Initializer = "glorot_uniform"  # what their kernels begin as
    dropout: Dropout = 0.0  # while training, of what they give

    @property
    def as_keras(self) -> dict[str, str]:
        """What a dense layer or a convolution of Keras is given."""
        return {"activation": self.activation, "kernel_initializer": self.initializer}


class Cnn(Hidden):
    """Convolutions, each with pooling, then dense layers."""

    family: Literal["cnn"]
    filters: tuple[Count, ...] = (32, 64)
    dense: tuple[Count, ...] = (64,)
    batch_norm: bool = False  # between each convolution and its activation


class Words(Hidden):
    """What families of texts make of each word first."""

    # a file of words and their numbers in GloVe's or fastText's form: words that it has begin as these, which are as
    # many as the embedding has; null: all are learnt from nothing
    vectors: str | None = None
    token_dropout: Dropout = 0.0  # whole tokens, while training


class Bow(Words):
    """Averaged embeddings (a bag of words), then dense layers."""

    family: Literal["bow"]
    embedding: Count = 64
    dense: tuple[Count, ...] = ()


class Rnn(Words):
    """Recurrent layers over a text or a series, then dense layers."""

    family: Literal["rnn"]
    cell: Literal["lstm", "gru"] = "lstm"
    embedding: Count = 64  # text: numbers that are learnt of each token
    units: tuple[Count, ...] = Field(default=(64,), min_length=1)  # of each recurrent layer
    bidirectional: bool = False  # as many layers again read from the back
    pool: Literal["max", "last"] = "max"  # what stands for all steps: the largest number of each unit, or the last step
    dense: tuple[Count, ...] = ()


class Encoder(Words):
    """A transformer that reads a whole text at once."""

    family: Literal["encoder"]
    layers: Count = 2
    width: Count = 64
    heads: Count = 4  # each has width / heads numbers
    feed_forward: Count | None = None  # its units; null: 4 times the width

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width: a multiple of the heads expected, {self.heads}; received {self.width}")
        return self


class Mlp(Hidden):
    """Dense layers over all inputs side by side: tables."""

    family: Literal["mlp"]
    hidden: tuple[Count, ...] = (64, 64)
    embedding: Count = 8  # numbers that are learnt of each category


class Conv1d(Hidden):
    """Convolutions along the steps of a series, or the columns of a table, then dense layers."""

    family: Literal["conv1d"]
    filters: tuple[Count, ...] = Field(
        default=(16, 32), min_length=1
    )  # of each; of a series each looks back twice as far
    kernel: Annotated[int, Field(ge=1, le=64)] = 3
    dense: tuple[Count, ...] = (32,)


class Resnet(Section):
    """Residual blocks in stacks. Of three with so many blocks each it has 6 * blocks + 2 layers: 1 is ResNet-8.

    ResNet-18 is `filters: [64, 128, 256, 512]`, `blocks: 2`, `large: true`; ResNet-50 besides `blocks: [3, 4, 6, 3]`,
    `bottleneck: true`.
    """

    family: Literal["resnet"]
    filters: Annotated[tuple[Count, ...], Field(min_length=1, max_length=8)] = (16, 32, 64)  # of each stack
    blocks: Count | tuple[Count, ...] = 1  # of every stack, or of each
    bottleneck: bool = False  # blocks of 1x1, 3x3 and 1x1 with four times the filters, instead of two of 3x3
    stem: Count | None = None  # filters of the first convolution; null: as many as the first stack has
    stride: Literal[1, 2] = 1  # of the first convolution: with 2 all the others see the image halved
    large: bool = False  # for photographs: the image is quartered first

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if self.large and self.stride != 1:
            raise ValueError(
                f"stride: a large one quarters the image first, and takes no other; received {self.stride}"
            )
        return self

    @model_validator(mode="after")
    def _a_count_for_each_stack(self) -> Self:
        if len(self.counts) != len(self.filters):
            raise ValueError(
                f"blocks: one number, or {len(self.filters)}, as many as filters, expected; received {self.blocks}"
            )
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks of each stack."""
        return (self.blocks,) * len(self.filters) if isinstance(self.blocks, int) else self.blocks


class Dscnn(Section):
    """A convolution, then depthwise-separable ones."""

    family: Literal["dscnn"]
    filters: Count = 64
    blocks: Count = 4


class MobilenetV1(Section):
    """Depthwise-separable convolutions in thirteen blocks."""

    family: Literal["mobilenet_v1"]
    width: Width = 0.25


class MobilenetV2(Section):
    """Inverted residuals with linear bottlenecks."""

    family: Literal["mobilenet_v2"]
    width: Width = 1.0


class MobilenetV3(Section):
    """Inverted residuals whose channels are weighted."""

    family: Literal["mobilenet_v3"]
    size: Literal["small", "large"] = "small"
    width: Width = 1.0


class Squeezenet(Section):
    """Fire modules: a narrow layer, and wide ones of two kernels upon it."""

    family: Literal["squeezenet"]
    width: Width = 1.0


class Autoencoder(Section):
    """Dense layers to a bottleneck and back: what it cannot reconstruct is an anomaly."""

    family: Literal["autoencoder"]
    hidden: tuple[Count, ...] = (128, 128, 128, 128)  # before the bottleneck, and once more behind it
    latent: Count = 8


class Sourced(Section):
    """A model of one's own, in files: training is skipped (`epochs: 0`) or goes on from its weights."""

    source: str  # where it lies


class Stored(Sourced):
    """One of Keras, or a LiteRT file."""

    source: str  # a .keras, .h5 or SavedModel of tf_keras, a .keras of Keras 3, or a .tflite
    layers: str | None = None  # a Python module that registers the file's own layers; it is imported, so it is run
    lambdas: bool = False  # run the Python code that Lambda layers carry in the file


class File(Stored):
    """A model of one's own as the baseline."""

    family: Literal["file"]


class Decoder(Sourced):
    """A language model."""

    family: Literal["decoder"]
    source: str  # a folder of Hugging Face with safetensors, a .gguf file, or `package:NAME`, which carries one


class Transformer(Section):
    """A language model of one's own sizes, a decoder as Qwen3 is."""

    family: Literal["transformer"]
    layers: Count = 4
    width: Count = 128
    heads: Count = 4  # each has width / heads numbers
    kv_heads: Count | None = None  # each serves as many of the heads; null: one for each
    feed_forward: Count | None = None  # its units; null: 8/3 of the width, rounded up to a multiple of 8
    tied: bool = False  # the embedding gives the scores too

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"width: a multiple of twice the heads expected, {2 * self.heads}; received {self.width}")
        if self.kv_heads and self.heads % self.kv_heads:
            raise ValueError(f"kv_heads: a divisor of the heads expected, {self.heads}; received {self.kv_heads}")
        return self


class TwoTower(Hidden):
    """An embedding of the user and one of each item, their product, and dense layers over both."""

    family: Literal["two_tower"]
    embedding: Count = 16
    product: bool = True
    dense: tuple[Count, ...] = (32, 16)

    @model_validator(mode="after")
    def _something_joins_them(self) -> Self:
        if not self.product and not self.dense:
            raise ValueError("two_tower needs the product, or a dense layer over both; received neither")
        return self


Images = Resnet | Dscnn | MobilenetV1 | MobilenetV2 | MobilenetV3 | Squeezenet
Texts = Bow | Rnn | Encoder | Decoder | Transformer
Own = Cnn | Conv1d | Mlp | Images | Texts | Autoencoder | TwoTower | File
if TYPE_CHECKING:
    Family = Own
else:
    Family = Annotated[Section, Chosen("family", Annotated[Own, Field(discriminator="family")], FAMILIES)]

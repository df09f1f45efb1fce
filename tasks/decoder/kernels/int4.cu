// Rows of a matrix of 4-bit integers times the numbers of one to eight tokens:
//     y[n, row] = sum over k of scale[row, k / block] * weights[row, k] * x[n, k]
// weights int4 [rows, width] as XLA packs them, the first of two in the lower half of a byte; x bfloat16 [tokens, width];
// scale float32 [rows] or [rows, width / 128]; y float32 [tokens, rows]. `rows` is a multiple of 16, and width is
// 256 * CHUNKS for each warp of a block. Names in capitals stay names in the PTX, where a program puts its numbers.
// NORMED: x goes through an RMS norm first, times `gain`, float32 [width]; its factor, one over the root of the mean
// square and EPSILON, is multiplied behind the product.
// ADDED: y is bfloat16, what is told in bfloat16 added to `onto`, bfloat16 [tokens, rows].
//
// A block takes 16 rows at a time, and each warp a part of the width, whose x it keeps in registers. Weights come by
// 16 bytes a lane, the next tile's before this one is multiplied. Tensor cores multiply them (mma m16n8k16); which k is
// which does not matter to a sum, so a lane feeds them the 32 weights that it happens to have read, with x to match.
#include <cstdint>

// [2, warps, 16, 8], of which one half is read while the other is written; behind it squares, [warps, 8], and, as
// bfloat16, x times gain, [tokens, width]
extern "C" extern __shared__ float sums[];

namespace {

constexpr int kTile = 16, kTokens = 8, kSums = kTile * kTokens;

// Two of eight weights, of two's complement, as bfloat16: 128 + (v xor 8), exactly, less 136.
__device__ __forceinline__ uint32_t two(uint32_t eight) {
  uint32_t found;
  asm("lop3.b32 %0, %1, 0x000f000f, 0x43084308, 0x6a;" : "=r"(found) : "r"(eight));
  asm("fma.rn.bf16x2 %0, %0, %1, %2;" : "+r"(found) : "r"(0x3f803f80u), "r"(0xc308c308u));
  return found;
}

__device__ __forceinline__ void multiply(float (&sum)[4], uint32_t low, uint32_t high, uint32_t x0, uint32_t x1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(two(low)), "r"(two(high)), "r"(two(low >> 4)), "r"(two(high >> 4)), "r"(x0), "r"(x1));
}

// Read once: it need not stay in the first cache.
__device__ __forceinline__ void read(uint32_t (&found)[4], const uint8_t* from) {
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(found[0]), "=r"(found[1]), "=r"(found[2]), "=r"(found[3])
               : "l"(from));
}

#define GIVEN(type, form, constraint, name, text)                    \
  __device__ __forceinline__ type name() {                           \
    type found;                                                      \
    asm("mov." form " %0, " text ";" : "=" constraint(found));       \
    return found;                                                    \
  }
GIVEN(int, "u32", "r", rows_given, "ROWS")
GIVEN(int, "u32", "r", tokens_given, "TOKENS")
GIVEN(int, "u32", "r", is_normed, "NORMED")
GIVEN(int, "u32", "r", is_added, "ADDED")
GIVEN(float, "f32", "f", epsilon_given, "EPSILON")

// What a lane reads of a tile: of row g and of row g + 8, in each half of a chunk, 32 weights.
template <int CHUNKS>
struct Weights {
  uint32_t low[CHUNKS][2][4], high[CHUNKS][2][4];

  __device__ __forceinline__ void fetch(const uint8_t* from, size_t eight_rows) {
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        read(low[c][h], from + c * 128 + h * 64);
        read(high[c][h], from + eight_rows + c * 128 + h * 64);
      }
  }
};

// The numbers of token g that belong to the weights of a lane: of eight the first and the fifth, and so on, are a pair.
template <int CHUNKS>
__device__ __forceinline__ void numbers(uint32_t (&pairs)[CHUNKS][2][4][4], const uint16_t* x, bool there) {
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c)
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const uint4 none = make_uint4(0, 0, 0, 0);
        const uint4 v = there ? *reinterpret_cast<const uint4*>(x + c * 256 + h * 128 + j * 8) : none;
        pairs[c][h][j][0] = __byte_perm(v.x, v.z, 0x5410);
        pairs[c][h][j][1] = __byte_perm(v.x, v.z, 0x7632);
        pairs[c][h][j][2] = __byte_perm(v.y, v.w, 0x5410);
        pairs[c][h][j][3] = __byte_perm(v.y, v.w, 0x7632);
      }
}

__device__ __forceinline__ float low_of(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_of(uint32_t pair) { return __uint_as_float(pair & 0xffff0000); }

__device__ __forceinline__ uint32_t rounded(float low, float high) {
  uint32_t found;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(found) : "f"(high), "f"(low));
  return found;
}

// A warp's part of one token, times gain, to `staged`; the sum of its squares in every lane.
template <int CHUNKS>
__device__ __forceinline__ float norm(const uint16_t* x, const float (&gain)[CHUNKS][8], uint16_t* staged) {
  float found = 0;
#pragma unroll
  for (int c = 0; c < CHUNKS; ++c) {
    const uint4 v = *reinterpret_cast<const uint4*>(x + c * 256);
    const uint32_t pairs[4] = {v.x, v.y, v.z, v.w};
    uint32_t times[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float low = low_of(pairs[i]), high = high_of(pairs[i]);
      found += low * low + high * high;
      times[i] = rounded(low * gain[c][2 * i], high * gain[c][2 * i + 1]);
    }
    *reinterpret_cast<uint4*>(staged + c * 256) = make_uint4(times[0], times[1], times[2], times[3]);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) found += __shfl_xor_sync(~0u, found, step);
  return found;
}

template <int CHUNKS, bool BLOCKS>
__device__ __forceinline__ void product(const uint8_t* weights, const uint16_t* x, const float* scale,
                                        const float* gain, const uint16_t* onto, void* y) {
  const int rows = rows_given(), tokens = tokens_given();
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  const int g = lane >> 2, t = lane & 3, width = warps * CHUNKS * 256, tiles = rows / kTile;
  const size_t eight_rows = width * 4;
  const uint8_t* mine = weights + g * (width / 2) + warp * CHUNKS * 128 + t * 16;
  int tile = blockIdx.x;
  Weights<CHUNKS> now;
  now.fetch(mine + tile * 2 * eight_rows, eight_rows);
  uint32_t pairs[CHUNKS][2][4][4];
  const int first = warp * CHUNKS * 256;
  float* of_warps = sums + 2 * warps * kSums;
  if (is_normed()) {
    uint16_t* staged = reinterpret_cast<uint16_t*>(of_warps + warps * kTokens);
    alignas(16) float gains[CHUNKS][8];
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c)
#pragma unroll
      for (int i = 0; i < 8; i += 4)
        *reinterpret_cast<float4*>(&gains[c][i]) =
            *reinterpret_cast<const float4*>(gain + first + c * 256 + lane * 8 + i);
    for (int n = 0; n < tokens; ++n) {
      const int from = n * width + first + lane * 8;
      const float found = norm<CHUNKS>(x + from, gains, staged + from);
      if (lane == 0) of_warps[warp * kTokens + n] = found;
    }
    __syncwarp();
    numbers<CHUNKS>(pairs, staged + g * width + first + t * 32, g < tokens);
  } else {
    numbers<CHUNKS>(pairs, x + g * width + first + t * 32, g < tokens);
  }
  for (int side = 0; tile < tiles; side ^= 1) {
    const int next = tile + gridDim.x;
    const int row = tile * kTile + threadIdx.x % kTile, n = threadIdx.x / kTile;  // that this thread tells of
    const size_t place = static_cast<size_t>(n) * rows + row;
    const float of_row = BLOCKS ? 1 : __ldg(scale + row);
    const float before = is_added() && n < tokens ? low_of(__ldg(onto + place)) : 0;
    const float* of_blocks = scale + (tile * kTile + g) * (width / 128) + warp * CHUNKS * 2;
    Weights<CHUNKS> then;
    if (CHUNKS == 1 && next < tiles) then.fetch(mine + next * 2 * eight_rows, eight_rows);
    float whole[4] = {};
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float even[4] = {}, odd[4] = {};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const uint32_t low = now.low[c][h][j], high = now.high[c][h][j];
          multiply(even, low, high, pairs[c][h][j][0], pairs[c][h][j][1]);
          multiply(odd, low >> 8, high >> 8, pairs[c][h][j][2], pairs[c][h][j][3]);
        }
        const float* block = of_blocks + c * 2 + h;
#pragma unroll
        for (int i = 0; i < 4; ++i)
          whole[i] += (even[i] + odd[i]) * (BLOCKS ? __ldg(block + (i < 2 ? 0 : 8 * (width / 128))) : 1);
      }
    float* here = sums + side * warps * kSums;
#pragma unroll
    for (int i = 0; i < 4; i += 2)
      *reinterpret_cast<float2*>(here + warp * kSums + (g + 4 * i) * kTokens + 2 * t) =
          make_float2(whole[i], whole[i + 1]);
    __syncthreads();
    if (n < tokens) {
      float found = 0, square = 0;
      for (int k = 0; k < warps; ++k) {
        found += here[k * kSums + threadIdx.x % kTile * kTokens + n];
        if (is_normed()) square += of_warps[k * kTokens + n];
      }
      found *= of_row * (is_normed() ? rsqrtf(square / width + epsilon_given()) : 1);
      if (is_added())
        static_cast<uint16_t*>(y)[place] = rounded(before + low_of(rounded(found, 0)), 0);
      else
        static_cast<float*>(y)[place] = found;
    }
    tile = next;
    if (CHUNKS == 1)
      now = then;
    else if (tile < tiles)
      now.fetch(mine + tile * 2 * eight_rows, eight_rows);
  }
}

}  // namespace

#define KERNEL(name, chunks, blocks)                                                                             \
  extern "C" __global__ void __launch_bounds__(512, 1)                                                           \
      name(const uint8_t* __restrict__ weights, const uint16_t* __restrict__ x, const float* __restrict__ scale, \
           const float* __restrict__ gain, const uint16_t* __restrict__ onto, void* __restrict__ y) {            \
    product<chunks, blocks>(weights, x, scale, gain, onto, y);                                                   \
  }

KERNEL(int4_rows_1, 1, false)
KERNEL(int4_rows_2, 2, false)
KERNEL(int4_blocks_1, 1, true)
KERNEL(int4_blocks_2, 2, true)

"""What kernels of engines do, by names as profiles of them show these."""

from __future__ import annotations

import pytest

from dagc.profile.kernel_names import KernelKind, kind_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("void cutlass::device_kernel<dpsk::grouped_gemm::cuda::fp8_ptp128c::GemmKernel>", KernelKind.GEMM),
        ("void cutlass::device_kernel<dpsk::grouped_gemm::cuda::m_grouped_fp8_ptp128c::Gemm>", KernelKind.EXPERTS),
        ("void dpsk::grouped_gemm::cuda::utils::transpose<512, 128, 4, 4>", KernelKind.CAST),
        ("void dpsk::ep::internode::notify_dispatch<false, 8>", KernelKind.NOTIFY),
        ("void layer_norm::ln_fwd_kernel<layer_norm::Kernel_traits<__nv_bfloat16>>", KernelKind.NORM),
        ("_ZN2at6native54_GLOBAL__N__d8ceb000_21_DistributionNormal_cu", KernelKind.OTHER),
        ("void cuda::reduce_fused_impl<__nv_bfloat16, false, false>", KernelKind.AGGREGATE),
        ("sm90_xmma_gemm_bf16f32_bf16f32_f32_tn_n_tilesize128x128x64", KernelKind.GEMM),
        ("Cijk_Alik_Bljk_BBS_BH_MT256x128x32", KernelKind.GEMM),
        ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", KernelKind.ALL_REDUCE),
        ("allreduce_fusion_kernel_oneshot_lamport", KernelKind.ALL_REDUCE),
        ("void flash::flash_fwd_splitkv_combine_kernel<>", KernelKind.ATTENTION),
        ("void deep_gemm::sm90_fp8_gemm_1d2d_impl<>", KernelKind.GEMM),
        ("void vllm::rotary_embedding_kernel<c10::BFloat16, true>", KernelKind.ROPE),
        ("Memcpy DtoD (Device -> Device)", KernelKind.COPY),
    ],
)  # fmt: skip
def test_names_of_engines_are_known(name: str, kind: KernelKind) -> None:
    assert kind_of(name) is kind

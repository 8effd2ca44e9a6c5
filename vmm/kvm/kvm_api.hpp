#pragma once

// <linux/kvm.h>, with structures of the size that the kernel takes. In C++ an empty struct has a
// byte, so the uapi macro for trailing arrays (of kernels before 6.6) makes every structure that
// has one too large, and with it the ioctl's number. Include this instead of <linux/kvm.h>.
#include <linux/stddef.h>
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[]
#include <linux/kvm.h>

static_assert(sizeof(kvm_cpuid2) == 8);
static_assert(sizeof(kvm_msrs) == 8);
static_assert(sizeof(kvm_msr_list) == 4);
static_assert(sizeof(kvm_xsave) == 4096);

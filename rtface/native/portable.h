// Compiler seams: run-time choice of instruction set, and a small parallel loop.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

// One function, several instruction sets, chosen by the dynamic linker. Results do not depend on the choice:
// all variants do the same IEEE operations, and CMakeLists.txt forbids fused multiply-add.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define RTFACE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define RTFACE_CLONES
#endif

// Inlined into every variant of its caller, and so compiled for its instruction set.
#if defined(_MSC_VER)
#define RTFACE_METHOD __forceinline
#define RTFACE_LAMBDA
#else
#define RTFACE_METHOD inline __attribute__((always_inline))
#define RTFACE_LAMBDA __attribute__((always_inline))
#endif
#define RTFACE_INLINE static RTFACE_METHOD

// Vector types of GCC and Clang.
#if defined(__GNUC__)
#define RTFACE_LANES 1
#else
#define RTFACE_LANES 0
#endif

#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define RTFACE_BIG_ENDIAN 1
#else
#define RTFACE_BIG_ENDIAN 0
#endif

namespace rtface {

// Call task(i) for i in 0..count-1 on up to `threads` threads, this one included. Tasks write disjoint memory, so the
// result does not depend on the number of threads.
template <typename Task>
void parallel_for(int64_t count, int threads, Task task) {
    int workers = static_cast<int>(std::min<int64_t>(count, threads));
    if (workers <= 1) {
        for (int64_t i = 0; i < count; ++i) task(i);
        return;
    }
    std::atomic<int64_t> next{0};
    std::exception_ptr failure;
    std::mutex failure_lock;
    auto work = [&] {
        try {
            for (int64_t i; (i = next.fetch_add(1)) < count;) task(i);
        } catch (...) {
            std::lock_guard<std::mutex> hold(failure_lock);
            failure = std::current_exception();
        }
    };
    std::vector<std::thread> pool;
    pool.reserve(static_cast<size_t>(workers - 1));
    try {
        for (int t = 1; t < workers; ++t) pool.emplace_back(work);
    } catch (...) {
        // The system refuses more threads: the ones that started, and this one, do all the work.
    }
    work();
    for (auto& thread : pool) thread.join();
    if (failure) std::rethrow_exception(failure);
}

// Cut `rows` into `parts` ranges; part i is [begin, end).
struct RowRange {
    int64_t begin, end;
};

inline RowRange row_range(int64_t rows, int64_t parts, int64_t i) {
    return {rows * i / parts, rows * (i + 1) / parts};
}

}  // namespace rtface

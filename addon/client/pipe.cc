// The addon of commands that hand on much: without DPDK, so that it is loaded in no time.
#include <fcntl.h>
#include <napi.h>

namespace sluice {
namespace {

// What an unprivileged process may ask for unless /proc/sys/fs/pipe-max-size says otherwise.
constexpr int kPipeBytes = 1 << 20;

// Whether a file descriptor is a pipe that now holds kPipeBytes. A usual one holds 64 KiB, and its writer and
// its reader take turns by the 16 KiB that wc(1) and others read: two switches of threads each time.
Napi::Value widen_pipe(const Napi::CallbackInfo& info) {
  const bool widened = info[0].IsNumber() &&
                       fcntl(info[0].As<Napi::Number>().Int32Value(), F_SETPIPE_SZ, kPipeBytes) >= kPipeBytes;
  return Napi::Boolean::New(info.Env(), widened);
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("widenPipe", Napi::Function::New(env, widen_pipe, "widenPipe"));
  return exports;
}

}  // namespace

NODE_API_MODULE(sluice_client, initialize)

}  // namespace sluice

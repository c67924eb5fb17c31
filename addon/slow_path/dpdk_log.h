// What DPDK's libraries and drivers log. Their own default is stdout and syslog; here it is stderr, and while
// a step that may fail runs it is kept back, so that the failure can tell its cause in one line.
#pragma once

#include <string>

namespace sluice {

// From now on DPDK logs to stderr. To be called before rte_eal_init.
void send_dpdk_log_to_stderr();

// Keeps the log back while it lives; at the end shows what nobody asked for. One at a time.
class KeptLog {
 public:
  KeptLog();
  ~KeptLog();
  KeptLog(const KeptLog&) = delete;
  KeptLog& operator=(const KeptLog&) = delete;

  // The first thing that was logged: layers below speak before those above, and what they say names the
  // cause. Without a trailing period or line end; `otherwise` when nothing was logged. What was kept is
  // forgotten.
  std::string cause(const std::string& otherwise);
};

}  // namespace sluice

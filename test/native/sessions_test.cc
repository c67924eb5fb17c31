// Rows of sessions, and what is kept of their NIC rules.
#include "slow_path/sessions.h"

#include <algorithm>
#include <map>
#include <random>

#include "support.h"

namespace sluice::test {
namespace {

TEST(what_is_kept_of_nic_rules_is_each_session_s_own_and_is_used_again) {
  constexpr uint32_t kRows = 500;
  SessionTable sessions(kRows);
  std::map<uint32_t, uintptr_t> flows;
  std::mt19937 random(3);
  uint32_t highest = 0, freed = 0;
  for (uintptr_t step = 1; step <= 200000; ++step) {
    const uint32_t at = random() % kRows;
    SessionRow& row = *sessions.at(at).row;
    const SessionRef session = sessions.at(at);
    if (row.generation == 0) {
      row.generation = static_cast<uint32_t>(step);
      CHECK(sessions.nic_rules(row) == nullptr && sessions.nic(session, kForward) == nullptr);
      if (random() % 4 == 0) continue;  // one that is never offloaded
      NicRules* rules = sessions.take_nic_rules(row);
      CHECK(rules != nullptr && rules == sessions.take_nic_rules(row));
      for (const NicDirection& direction : rules->direction)
        CHECK(direction.flow == nullptr && direction.installing == 0 && !direction.replaces);
      CHECK(sessions.nic(session, kReverse) == nullptr);
      rules->direction[kReverse].flow = reinterpret_cast<rte_flow*>(step);
      rules->direction[kReverse].installing = 3;
      flows[at] = step;
      highest = std::max(highest, row.nic_rules);
    } else {
      const NicDirection* nic = sessions.nic(session, kReverse);
      const auto expected = flows.find(at);
      CHECK_EQ(nic != nullptr, expected != flows.end());
      if (nic != nullptr) CHECK_EQ(reinterpret_cast<uintptr_t>(nic->flow), expected->second);
      if (random() % 2 == 0) continue;
      sessions.free_row(row);
      flows.erase(at);
      ++freed;
      CHECK(row.generation == 0 && row.nic_rules == 0);
    }
  }
  CHECK(freed > 20000 && highest <= kRows);
}

}  // namespace
}  // namespace sluice::test

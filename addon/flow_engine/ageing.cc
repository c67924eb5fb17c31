// Rules whose AGE has run out, found without a look at all others (age_horizons.h). Whoever creates rules and
// whoever walks keep each other out; hits are counted meanwhile.
#include <algorithm>

#include "flow_engine/engine_state.h"

namespace sluice {
namespace {

constexpr uint32_t kRunRows = AgeHorizons::kRunRows;

// Reports what has aged in a run and notes when that can happen next.
void walk(RuleTable* table, uint32_t run, uint32_t now_seconds, const std::function<bool(FlowRule*)>& visit) {
  const uint32_t begin = run * kRunRows + 1;
  const uint32_t end = std::min(begin + kRunRows, table->slab.high() + 1);
  bool is_empty = true;
  uint32_t first = 0;
  for (uint32_t row = begin; row < end; ++row) {
    FlowRule* rule = table->rule(row);
    const uint32_t state = __atomic_load_n(&rule->row_and_state, __ATOMIC_RELAXED);
    const uint32_t timeout = rule->history().age_timeout;
    if ((state & FlowRule::kLifeMask) != FlowRule::kLive || timeout == 0) continue;
    uint32_t next = AgeHorizons::after_hit(now_seconds, timeout);
    if ((state & FlowRule::kAged) == 0) {
      const uint32_t last_hit = __atomic_load_n(&rule->history().last_hit_seconds, __ATOMIC_RELAXED);
      bool is_reported = false;
      if (FlowEngine::has_aged(now_seconds, last_hit, timeout) && visit(rule)) {
        __atomic_fetch_or(&rule->row_and_state, FlowRule::kAged, __ATOMIC_RELAXED);
        is_reported = true;
      }
      // Where it was hit by a clock ahead of this one, the next hit may be earlier.
      if (!is_reported && is_before(last_hit + timeout, next)) next = last_hit + timeout;
    }
    if (is_empty || is_before(next, first)) first = next;
    is_empty = false;
  }
  is_empty ? table->horizons.clear(run) : table->horizons.set(run, first);
}

}  // namespace

bool FlowEngine::collect_aged(uint32_t now_seconds, AgeCursor* cursor, uint32_t rows,
                              const std::function<bool(FlowRule*)>& visit) {
  if (is_before(now_seconds, self_->age_clock - AgeHorizons::kLagSeconds)) {
    for (RuleTable* table : self_->tables) {
      if (table != nullptr) table->horizons.forget(now_seconds);
    }
    self_->age_clock = now_seconds;
  }
  self_->note_age_clock(now_seconds);
  for (; cursor->table < self_->tables.size(); ++cursor->table, cursor->row = 1) {
    RuleTable* table = self_->tables[cursor->table];
    if (table == nullptr) continue;
    uint32_t run = (cursor->row - 1) / kRunRows;
    for (; run < table->horizons.runs(); ++run) {
      cursor->row = run * kRunRows + 1;
      if (rows == 0) return false;
      const bool is_due = table->horizons.is_due(run, now_seconds);
      if (is_due) walk(table, run, now_seconds, visit);
      rows -= std::min(rows, is_due ? kRunRows : 1);
    }
  }
  return true;
}

void FlowEngine::collect_aged(uint32_t now_seconds, const std::function<bool(FlowRule*)>& visit) {
  AgeCursor cursor;
  while (!collect_aged(now_seconds, &cursor, UINT32_MAX, visit)) {
  }
}

}  // namespace sluice

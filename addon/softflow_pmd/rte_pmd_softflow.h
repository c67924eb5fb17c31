/* Public functions of the software NIC net_softflow, for programs that link with it or find it by dlsym(). */
#ifndef RTE_PMD_SOFTFLOW_H_
#define RTE_PMD_SOFTFLOW_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Sets the clock of AGE for all softflow devices of the process, in seconds. From the first call on the
 * devices no longer use their own clock (seconds since the program started). Returns 0.
 */
int rte_pmd_softflow_clock_set(uint32_t seconds);

/* The ethdev that is the wire of a softflow port, or -ENODEV when the port is not one. */
int rte_pmd_softflow_wire_port(uint16_t port_id);

struct rte_flow;

/*
 * Rules of a port, whoever made them, with AGE's context (NULL: the rule has none). `cursor` is 0 at first, and
 * UINT64_MAX once all have been told; up to `room` rows are looked at a call, so that fewer rules may be told, or
 * none. A rule that lives all the time is told once. Returns how many, or -ENODEV.
 */
int rte_pmd_softflow_rules(uint16_t port_id, uint64_t *cursor, struct rte_flow **flows, void **contexts,
                           uint32_t room);

/*
 * The port loses its rules, as a NIC does that failed and has recovered, and tells so: RTE_ETH_EVENT_RECOVERY_SUCCESS.
 * For tests of applications. Returns 0, or -ENODEV.
 */
int rte_pmd_softflow_recover(uint16_t port_id);

/*
 * The port asks to be reset (RTE_ETH_EVENT_INTR_RESET), as a virtual function does whose physical one was: until
 * rte_eth_dev_reset() it receives and sends nothing, and then it has no rules. For tests of applications. Returns 0,
 * or -ENODEV.
 */
int rte_pmd_softflow_want_reset(uint16_t port_id);

#ifdef __cplusplus
}
#endif

#endif /* RTE_PMD_SOFTFLOW_H_ */

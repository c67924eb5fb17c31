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

#ifdef __cplusplus
}
#endif

#endif /* RTE_PMD_SOFTFLOW_H_ */

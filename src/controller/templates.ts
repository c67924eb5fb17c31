import {
  type CompileContext,
  compile,
  type Diagnostic,
  nativeTemplate,
  type RuleTemplate,
  staticRules,
  targetNamed,
} from '../compiler/index.js';
import type { FlowList } from '../compiler/ir.js';
import { type Trial, tryRule } from '../compiler/trial/trial.js';
import type { ValidatedConfig } from '../config/types.js';
import { natDirections } from '../nat/directions.js';
import { shapeList } from '../nat/shapes.js';
import type { Dataplane, NativeError, NativeTemplate } from '../native/binding.js';
import { NO_TEMPLATE } from '../native/records.js';
import { remedyOf } from './rule-states.js';

/** What a shape became on this gateway. */
export interface CompiledShape {
  readonly software: number;
  /** NO_TEMPLATE when the NIC cannot, or must not, execute it. */
  readonly nic: number;
  /** The NIC's rule, for display; null when there is none. */
  readonly nicTemplate: RuleTemplate | null;
  /** Why there is no NIC rule; null when there is one. */
  readonly refusal: Refusal | null;
}

export interface Refusal {
  readonly code: string;
  readonly message: string;
  /** What would help; may be empty. */
  readonly hint: string;
}

/** What one of several registries learned of the NIC, for the others. */
export interface KnownNic {
  /** Shape and what the NIC said of a rule of it; null: it took it. */
  readonly tried: readonly (readonly [number, string | null])[];
  /** Why the NIC has not all of its constant rules; null: it has. */
  readonly withoutConstantRules: Refusal | null;
}

/**
 * Templates of the shapes that have occurred: each shape is compiled and registered once, for the software table and
 * for the NIC.
 */
export class TemplateRegistry {
  /** By shape: eleven bits. */
  private readonly shapes: (CompiledShape | undefined)[] = new Array(1 << 11).fill(undefined);
  private readonly context: CompileContext;
  /** Constant rules that the NIC has yet to take, in the order of their installation. */
  private missing: readonly RuleTemplate[] = [];
  /** Why it has not all of them; null: it has. */
  private withoutConstantRules: Refusal | null = null;
  private onRefusal: ((rule: string, message: string) => void) | null = null;
  private onTrial: ((rule: string, trial: Trial) => void) | null = null;
  /** By shape: what the NIC said of a rule of it; null: it took it. */
  private readonly tried = new Map<number, string | null>();

  /** @param target Name of the NIC's target; null: nothing is offloaded. */
  constructor(
    private readonly config: ValidatedConfig,
    private readonly dataplane: Dataplane,
    readonly target: string | null,
  ) {
    this.context = compileContext(config);
  }

  /**
   * Installs the target's constant rules: punts, and the way into the NAT group. What may pass is left to
   * installMissingRules().
   *
   * @throws NativeError
   */
  installStaticRules(): void {
    if (this.target === null) return;
    this.missing = staticRules(this.target, this.context);
    this.installMissingRules();
  }

  /** What another registry of the same NIC need not find out. */
  get known(): KnownNic {
    return { tried: [...this.tried], withoutConstantRules: this.withoutConstantRules };
  }

  /** Takes over what another registry of the same NIC knows, in whose hands its constant rules are. */
  adopt({ tried, withoutConstantRules }: KnownNic): void {
    for (const [shape, said] of tried) this.tried.set(shape, said);
    const lackedThem = this.withoutConstantRules !== null;
    this.withoutConstantRules = withoutConstantRules;
    if (lackedThem && withoutConstantRules === null) this.compileAgain();
  }

  /** Constant rules that the NIC has yet to take and may take another time; until then it gets no others. */
  get constantRulesLacking(): number {
    return this.missing.length;
  }

  /** Tries constant rules again that the NIC refused. @returns Whether it has all of them now. @throws NativeError */
  installMissingRules(): boolean {
    while (this.missing.length > 0) {
      const [rule, ...others] = this.missing;
      try {
        this.dataplane.installStatic(rule.ingress, nativeTemplate(rule));
        this.missing = others;
      } catch (error) {
        this.refuseAll(rule, error as NativeError);
        return false;
      }
    }
    if (this.withoutConstantRules !== null) {
      this.withoutConstantRules = null;
      this.compileAgain();
    }
    return true;
  }

  /** Without what keeps packets from NAT rules there must be none. @throws NativeError */
  private refuseAll(rule: RuleTemplate, error: NativeError): void {
    if (this.onRefusal === null) throw error;
    const mayPass = error.errno !== undefined && remedyOf(error.errno, 0) !== 'none';
    const message = `constant rule ${rule.name}: ${error.message}`;
    if (this.withoutConstantRules === null) this.onRefusal(rule.name, error.message);
    if (!mayPass) this.missing = [];
    this.withoutConstantRules = mayPass
      ? { code: 'nic-busy', message, hint: 'it is tried again' }
      : { code: 'nic-refused', message, hint: NIC_HINT };
  }

  /** The NIC's part of what was compiled while it was not to have any rules. */
  private compileAgain(): void {
    this.shapes.forEach((compiled, shape) => {
      if (compiled?.refusal?.code === 'nic-busy') this.shapes[shape] = this.compileForNic(shape, compiled.software);
    });
  }

  /**
   * From now on a rule of each new template is tried in the NIC before flows rely on it.
   *
   * @param onRefusal Told of each that the NIC refuses although its table allows it.
   */
  probesWith(onRefusal: (rule: string, message: string) => void): void {
    this.onRefusal = onRefusal;
  }

  /**
   * Tries a rule of every direction that sessions mostly have, before there are any: what the NIC refuses although its
   * table allows it stays in software from the first packet on.
   *
   * @returns How many were tried, and how many of them the NIC refused.
   */
  probeDirections(): { readonly tried: number; readonly refused: number } {
    if (this.target === null || this.onRefusal === null || this.withoutConstantRules !== null) {
      return { tried: 0, refused: 0 };
    }
    let refused = 0;
    // Directions that rewrite no ports share shapes.
    for (const shape of new Set(natDirections().map((direction) => direction.shape))) {
      const list = shapeList(shape, this.config);
      const inNic = compile(list, this.target, this.context);
      if (inNic.ok && this.probe(shape, list, nativeTemplate(inNic.template)) !== null) refused++;
    }
    return { tried: this.tried.size, refused };
  }

  /**
   * From now on each compiled rule is executed on packets by an interpreter before it is used, and compared with its list.
   *
   * @param onTrial Told what came of it; a rule that differs is not given to the NIC.
   */
  triesWith(onTrial: (rule: string, trial: Trial) => void): void {
    this.onTrial = onTrial;
  }

  of(shape: number): CompiledShape {
    let compiled = this.shapes[shape];
    if (compiled === undefined) {
      compiled = this.compile(shape);
      this.shapes[shape] = compiled;
    }
    return compiled;
  }

  private compile(shape: number): CompiledShape {
    const list = shapeList(shape, this.config);
    const inSoftware = compile(list, 'software', this.context);
    if (!inSoftware.ok) {
      throw new Error(`shape ${list.name} does not compile for software: ${inSoftware.diagnostics[0].message}`);
    }
    const software = this.dataplane.registerTemplate('software', list.ingress, nativeTemplate(inSoftware.template));
    return this.compileForNic(shape, software);
  }

  /** @param software Template of the shape in the software table. */
  private compileForNic(shape: number, software: number): CompiledShape {
    const without = (refusal: Refusal) => ({ software, nic: NO_TEMPLATE, nicTemplate: null, refusal });
    if (this.target === null) return without(OFFLOAD_OFF);
    const list = shapeList(shape, this.config);
    const inNic = compile(list, this.target, this.context);
    if (!inNic.ok) return without(summary(inNic.diagnostics));
    if (this.withoutConstantRules !== null) return without(this.withoutConstantRules);
    if (!this.isTried(list, inNic.template)) return without(DIFFERS);
    const native = nativeTemplate(inNic.template);
    const refused = this.probe(shape, list, native);
    if (refused !== null) return without({ code: 'nic-refused', message: refused, hint: NIC_HINT });
    try {
      const nic = this.dataplane.registerTemplate('nic', list.ingress, native);
      return { software, nic, nicTemplate: inNic.template, refusal: null };
    } catch (error) {
      return without({ code: 'nic-refused', message: (error as NativeError).message, hint: NIC_HINT });
    }
  }

  /** @returns False when the rule does not do what the list says. */
  private isTried(list: FlowList, template: RuleTemplate): boolean {
    const target = this.target === null || this.onTrial === null ? null : targetNamed(this.target);
    const trial = target && tryRule(list, template, target, this.context, null);
    if (!trial) return true;
    this.onTrial?.(list.name, trial);
    return trial.faults.length === 0;
  }

  /** @returns The NIC's words when it cannot execute such a rule; null when it can, or that is not asked. */
  private probe(shape: number, list: FlowList, native: NativeTemplate): string | null {
    if (this.onRefusal === null) return null;
    const known = this.tried.get(shape);
    if (known !== undefined) return known;
    const said = this.tryRule(list, native);
    this.tried.set(shape, said);
    if (said !== null) this.onRefusal(list.name, said);
    return said;
  }

  private tryRule(list: FlowList, native: NativeTemplate): string | null {
    try {
      const { destroyed } = this.dataplane.probeTemplate(list.ingress, native);
      return destroyed ? null : 'it takes such a rule, and does not destroy it';
    } catch (error) {
      const { message, errno } = error as NativeError;
      // A full table, or one that is busy, says nothing about the rule.
      return errno !== undefined && REFUSALS.has(errno) ? message : null;
    }
  }
}

/** Linux: EINVAL, ENOSYS, EOPNOTSUPP. */
const REFUSALS: ReadonlySet<number> = new Set([22, 38, 95]);

const NIC_HINT = 'see the log at warn, and the driver’s version';
const DIFFERS: Refusal = {
  code: 'trial-failed',
  message: 'the compiled rule does not do what its list says',
  hint: 'a fault of the compiler: please report it with the log',
};
const OFFLOAD_OFF: Refusal = {
  code: 'offload-off',
  message: 'offload.mode is never, or the port has no NIC that offloads',
  hint: 'see offload.mode and offload.target in the configuration',
};

function summary(diagnostics: readonly Diagnostic[]): Refusal {
  const [{ code, hint }] = diagnostics;
  return { code, message: diagnostics.map((d) => d.message).join('; '), hint };
}

/** The gateway as the compiler sees it. */
export function compileContext(config: ValidatedConfig): CompileContext {
  return {
    ports: config.ports.map(({ name, role, mac, mtu, vlan }) => ({ name, role, mac: mac ?? 0, mtu, vlan: vlan ?? -1 })),
    underlay: config.underlay,
    tcpWithoutFlags: config.offload.tcpWithoutFlags,
  };
}

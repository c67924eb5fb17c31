import type { FlowList } from './ir.js';
import type { RuleTemplate } from './template.js';

export type { Action, ArgumentName, FlowList, MatchItem, MatchValue, Value } from './ir.js';
export type { RuleTemplate, TemplateAction, TemplateItem, TemplatePatch } from './template.js';

/** What is wrong with a list, or why a target cannot execute it. */
export interface Diagnostic {
  /** Stable, kebab-case: e.g. `action-unsupported`. */
  readonly code: string;
  /** The list's name. */
  readonly rule: string;
  readonly itemIndex?: number;
  readonly actionIndex?: number;
  readonly target: string;
  readonly message: string;
  readonly hint: string;
}

/** The gateway's ports as the compiler needs them, by index. */
export interface CompilePort {
  readonly name: string;
  readonly role: 'fabric' | 'external';
  readonly mac: number;
  readonly mtu: number;
  readonly vlan: number;
}

export interface CompileContext {
  readonly ports: readonly CompilePort[];
  readonly underlay: { readonly vtep: number; readonly mac: number; readonly udpPort: number };
  readonly tcpWithoutFlags: boolean;
}

export type CompileResult =
  | { readonly ok: true; readonly template: RuleTemplate }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[] };

/** Signature of the compiler: one shape to one template of the target. Pure; throws only on bugs. */
export type Compile = (list: FlowList, target: string, context: CompileContext) => CompileResult;

export { compile } from './compile.js';
export { instantiate } from './instantiate.js';
export { nativeTemplate } from './native-template.js';
export { printJson } from './print-json.js';
export { printTestpmd } from './print-testpmd.js';
export { staticRules } from './static-rules.js';
export type { Target } from './target.js';
export { releaseOf, targetNamed, targetOfDriver, targets } from './target.js';

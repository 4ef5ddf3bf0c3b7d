import type { Vec3 } from '../../volume/volume.js'

/** A program in an environment of its own that synthesizes or segments crops; mirrors PluginSpec of Python. */
export interface PluginSpec {
  /** Words of the command line; may contain placeholders. */
  readonly command: readonly string[]
  readonly startTimeoutSeconds: number
  readonly requestTimeoutSeconds: number
}

/** The plug-in that records name: its own statements, and the SHA-256 of its program file, if it has one. */
export interface PluginIdentity {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly sha256: string | null
}

/** The statements of a plug-in; mirrors python_runtime/freetumor_runtime/plugins/facts.py. */
export interface PluginFacts extends PluginIdentity {
  /** `names` are the organs that it paints. */
  readonly synthesize: PluginPart | null
  /** `names` are those of its outputs, from id 0. */
  readonly segment: PluginPart | null
  /** Outputs whose name is that of a tumor. */
  readonly tumorOutputs: readonly number[]
}

export interface PluginPart {
  /** Organs or outputs. */
  readonly names: readonly string[]
  /** Null: any. */
  readonly spacingMm: Vec3 | null
  /** Null: any. */
  readonly windowHu: readonly [number, number] | null
  readonly patchVoxels: Vec3
}

/** Result of a check of a plug-in with phantoms. */
export interface PluginCheck {
  /** True if no check failed. */
  readonly ok: boolean
  /** Null if it did not start. */
  readonly plugin: PluginFacts | null
  readonly checks: readonly {
    readonly id: string
    readonly ok: boolean
    readonly detail: string
    /** Time of the requests of the check. */
    readonly seconds: number
  }[]
  /** Median time of a request in s; null for work that it does not do. */
  readonly requestSeconds: { readonly synthesize: number | null; readonly segment: number | null }
}

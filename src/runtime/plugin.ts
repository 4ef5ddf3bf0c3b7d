import type { PluginCheck, PluginFacts, PluginSpec } from '../pipeline/ports/plugin.js'
import { resolvePython } from './python.js'
import { callPython } from './pythonia.js'

export interface PluginCallOptions {
  /** The Python that talks to the plug-in. Default: FREETUMOR_PYTHON, then ./.venv. */
  readonly python?: string | null | undefined
  readonly signal?: AbortSignal | undefined
}

/** Requests of a check, and some more for its repetitions. */
const CHECK_REQUESTS = 60
/** Start of our Python, and end of a plug-in that ignores the request to end. */
const OWN_SECONDS = 120

/**
 * Start a plug-in, return its statements, and end it.
 * @throws PluginError if it does not start or makes wrong statements
 */
export async function inspectPlugin(spec: PluginSpec, options: PluginCallOptions = {}): Promise<PluginFacts> {
  return (await call(
    'inspect_plugin',
    [spec],
    spec.startTimeoutSeconds + OWN_SECONDS,
    options,
  )) as PluginFacts
}

/** Check a plug-in with phantoms; faults of the plug-in are failed checks of the result. */
export async function checkPlugin(spec: PluginSpec, options: PluginCallOptions = {}): Promise<PluginCheck> {
  const seconds = 4 * spec.startTimeoutSeconds + CHECK_REQUESTS * spec.requestTimeoutSeconds + OWN_SECONDS
  return (await call('check_plugin', [spec], seconds, options)) as PluginCheck
}

function call(
  name: 'inspect_plugin' | 'check_plugin',
  args: readonly unknown[],
  seconds: number,
  { python, signal }: PluginCallOptions,
): Promise<unknown> {
  const path = resolvePython({ explicit: python ?? undefined })
  return callPython(path, 'freetumor_runtime.plugins.check', name, args, {
    timeoutMs: seconds * 1000,
    ...(signal ? { signal } : {}),
  })
}

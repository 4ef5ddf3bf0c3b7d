import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What a Python script of ours prints for this input, with the runtime package importable. */
export function runPython(script: string, input: string, args: readonly string[] = []): string {
  return execFileSync(
    process.env.FREETUMOR_PYTHON ?? `${root}/.venv/bin/python`,
    [`${root}/${script}`, ...args],
    {
      input,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, PYTHONPATH: `${root}/python_runtime`, OMP_NUM_THREADS: '1' },
    },
  )
}

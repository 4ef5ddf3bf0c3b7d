import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FreetumorError } from 'freetumor'
import { readJson, Stopped } from './cell.js'

/** A wrong command line of an experiment; exit code 2. */
export class Usage extends Error {}

/** Run the main function of an experiment. Stops and errors become one line and an exit code. */
export async function runMain(main: () => Promise<void>): Promise<void> {
  try {
    await main()
  } catch (error) {
    if (error instanceof Stopped || (error as Error).name === 'AbortError') {
      process.stderr.write(`stopped: the same command resumes (${(error as Error).message})\n`)
      process.exit(75)
    }
    const usage = error instanceof Usage || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
    if (!(usage || error instanceof FreetumorError)) throw error
    process.stderr.write(`error: ${(error as Error).message}\n`)
    process.exit(usage ? 2 : 1)
  }
}

/**
 * Return the whole numbers of an option.
 * @param count how many are expected; default any number
 * @param least smallest number that is accepted
 */
export function wholeNumbers(flag: string, text: string, count?: number, least = 0): number[] {
  const found = text.split(',').map(Number)
  if (
    found.some((value) => !Number.isInteger(value) || value < least) ||
    (count ?? found.length) !== found.length
  )
    throw new Usage(
      `--${flag}: wrong value (expected ${count ?? 'several'} whole numbers >= ${least}, found ${text})`,
    )
  return found
}

/** Check that a folder holds one experiment: figures of two plans must not appear in one table. */
export async function refuseAnotherPlan(out: string, plan: unknown): Promise<void> {
  const file = join(out, 'plan.json')
  const before = await readJson(file)
  if (before !== null && JSON.stringify(before) !== JSON.stringify(plan))
    throw new Usage(`${out}: holds an experiment of another plan (plan.json); choose another --out`)
  await writeFile(file, `${JSON.stringify(plan)}\n`)
}

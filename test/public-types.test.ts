import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { packageRoot } from '../src/runtime/python.js'
import { temporaryFolder } from './helpers/temporary.js'

const PROGRAM = `
import { connectRun, FreetumorError, launch, openRuntime, type Run, train } from 'freetumor'

const stop = new AbortController()
export async function all(): Promise<number> {
  await using run: Run = train({ job: 'baseline' } as never, { signal: stop.signal })
  for await (const event of run) if (event.type === 'step') break
  await using script = launch({ script: 'a.py', signal: stop.signal })
  await using runtime = await openRuntime({ baseline: 'a.pt', signal: stop.signal })
  const remote = await connectRun(script.directory).catch((error: unknown) => error instanceof FreetumorError)
  return runtime.device.length + run.id.length + Number(remote !== null)
}
`

it('the types of the package compile in a strict program that names no types and checks its libraries', () => {
  const file = join(temporaryFolder(), 'program.ts')
  writeFileSync(file, PROGRAM)
  const program = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    // the default of TypeScript 6 and 7
    types: [],
    paths: { freetumor: [join(packageRoot, 'dist/index.d.ts')] },
    noEmit: true,
  })
  const faults = ts
    .getPreEmitDiagnostics(program)
    .map(
      ({ file: at, messageText }) => `${at?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    )
  expect(faults).toEqual([])
})

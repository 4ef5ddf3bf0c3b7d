import { join } from 'node:path'
import { expect, it } from 'vitest'
import { packageRoot } from '../../../src/runtime/python.js'
import { startNode } from '../../helpers/cli.js'

it('of two trainings for one run directory exactly one trains, in each kind of takeover', async () => {
  const script = join(packageRoot, 'scripts/faults/takeovers.mjs')
  const done = await startNode([script, '--starts', '2', '--takeovers', '5']).finished
  expect(done).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(done.stdout)).toMatchObject({
    faults: [],
    starts: { count: 2, held: 2 },
    takeovers: {
      killedOwner: { held: 1 },
      suspendedOwner: { held: 1 },
      cutOffOwner: { held: 1 },
      lateOwner: { held: 1 },
    },
  })
})

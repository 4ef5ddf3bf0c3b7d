import { readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { refusePnp } from '../../src/runtime/pnp.js'
import { builtMain, startNode } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** What Yarn's loader does that a program can see. */
const UNDER_PNP = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,pnp:'3'}})`

it("names the setting that helps under Plug'n'Play, and is silent elsewhere", () => {
  expect(() => refusePnp({ node: '20.19.0', pnp: '3' })).toThrow(
    expect.objectContaining({
      code: 'environment',
      hint: expect.stringContaining('nodeLinker: node-modules'),
    }),
  )
  refusePnp({ node: '20.19.0' })
})

it("a command under Plug'n'Play is refused before it writes, with exit code 4", async () => {
  const cwd = temporaryFolder()
  const argv = ['phantom', '--out', 'ph', '--cases', '1', '--size', '48']
  const { code, stderr } = await startNode(['--import', UNDER_PNP, builtMain, ...argv], { cwd }).finished
  expect(code).toBe(4)
  expect(stderr.trim().split('\n')).toEqual([
    "error: freetumor does not run under Yarn's Plug'n'Play, because Python needs its files on disk",
    'hint: set `nodeLinker: node-modules` in .yarnrc.yml and run `yarn install` again',
  ])
  expect(readdirSync(cwd)).toEqual([])
})

it("doctor reports Plug'n'Play among its checks", async () => {
  const argv = ['doctor', '--output', 'json']
  const { code, stdout } = await startNode(['--import', UNDER_PNP, builtMain, ...argv]).finished
  expect(code).toBe(4)
  const { checks } = JSON.parse(stdout) as { checks: { id: string; fix: string | null }[] }
  expect(checks.find(({ id }) => id === 'node')?.fix).toContain('nodeLinker: node-modules')
})

import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCli } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { everyEvent } from '../../report/example-events.js'

async function run(): Promise<string> {
  const folder = temporaryFolder()
  await writeFile(join(folder, 'config.resolved.yaml'), 'job: segmentation\n')
  await writeFile(
    join(folder, 'events.jsonl'),
    everyEvent.map((event) => `${JSON.stringify(event)}\n`).join(''),
  )
  return folder
}

describe('freetumor report', () => {
  it('makes the page of each run and prints where it lies', async () => {
    const [first, second] = [await run(), await run()]
    const done = await runCli(['report', first, '.'], { cwd: second })
    const pages = [join(first, 'report.html'), join(second, 'report.html')]
    expect(done).toMatchObject({ code: 0, stderr: '', stdout: `${pages.join('\n')}\n` })
    expect(pages.every(existsSync)).toBe(true)
    const again = await runCli(['report', first, '--output', 'json'])
    expect(JSON.parse(again.stdout)).toEqual({ schemaVersion: 1, reports: [pages[0]] })
  })

  it('exits with 2 if there is nothing to report', async () => {
    const done = await runCli(['report', temporaryFolder()])
    expect(done).toMatchObject({ code: 2, stdout: '' })
    expect(done.stderr).toContain('config.resolved.yaml')
    expect(done.stderr).toContain('hint:')
  })
})

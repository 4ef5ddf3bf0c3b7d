import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { REQUESTS_FOLDER } from '../../src/cluster/folders.js'
import { UsageError } from '../../src/errors.js'
import { sendRequest, serveRequests, servesRequests } from '../../src/runtime/run-requests.js'
import { temporaryFolder } from '../helpers/temporary.js'

async function runFolder(): Promise<string> {
  const directory = temporaryFolder()
  await mkdir(join(directory, REQUESTS_FOLDER), { mode: 0o700 })
  return directory
}

it('a request gets the answer of the process of the run, and leaves no file', async () => {
  const directory = await runFolder()
  await using _served = await serveRequests(directory, async (request) => ({ got: request }))
  expect(await sendRequest(directory, { type: 'pause' }, null)).toEqual({ got: { type: 'pause' } })
  expect(await readdir(join(directory, REQUESTS_FOLDER))).toEqual(['serving.json'])
})

it('a refusal keeps its class, message and hint', async () => {
  const directory = await runFolder()
  await using _served = await serveRequests(directory, async () => {
    throw new UsageError('no', { hint: 'do this' })
  })
  const sent = sendRequest(directory, {}, null)
  await expect(sent).rejects.toBeInstanceOf(UsageError)
  await expect(sent).rejects.toMatchObject({ message: 'no', hint: 'do this' })
})

it('the end of the process answers open requests first, and refuses later ones', async () => {
  const directory = await runFolder()
  let answer = (): void => {}
  const answered = new Promise<void>((resolve) => {
    answer = resolve
  })
  let asked = (): void => {}
  const wasAsked = new Promise<void>((resolve) => {
    asked = resolve
  })
  const served = await serveRequests(directory, async () => {
    asked()
    await answered
    return 7
  })
  const sent = sendRequest(directory, { type: 'stop' }, null)
  await wasAsked
  const closed = served[Symbol.asyncDispose]()
  answer()
  expect(await sent).toBe(7)
  await closed
  expect(await servesRequests(directory)).toBe(false)
  await expect(sendRequest(directory, {}, null)).rejects.toThrow('its process does not answer')
})

it('a killed process that left its file does not answer within the limit', async () => {
  const directory = await runFolder()
  await writeFile(join(directory, REQUESTS_FOLDER, 'serving.json'), '{"pid":1}')
  await expect(sendRequest(directory, {}, 1)).rejects.toThrow('its process does not answer')
})

it('a folder that others may write into is refused; without the folder nothing is served', async () => {
  const directory = await runFolder()
  await chmod(join(directory, REQUESTS_FOLDER), 0o770)
  await expect(serveRequests(directory, async () => 1)).rejects.toThrow('mode 700')
  const other = temporaryFolder()
  await using _served = await serveRequests(other, async () => 1)
  expect(await servesRequests(other)).toBe(false)
})

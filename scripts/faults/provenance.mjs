#!/usr/bin/env node
/**
 * Tamper with a signed synthetic data set in 50 ways or more: voxels, headers, marks, files, manifest, signature, keys. After
 * each tampering of a fresh copy, `verify` must not call the data set authentic, and must name the place. Changes of the
 * compression alone must stay authentic.
 *
 *     npm run build && node scripts/faults/provenance.mjs [--times 2] [--seed 0]
 *
 * Prints JSON; exit code 1 when a tampering was not found.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createKey, readKeyring, revokeKey, signingKey } from '../../dist/provenance/keys.js'
import { writeProvenance } from '../../dist/provenance/manifest.js'
import { openManifest } from '../../dist/provenance/read-manifest.js'
import { verifyScans } from '../../dist/provenance/verify.js'
import { randomOf } from './campaign.mjs'
import { ALLOWED, TAMPERINGS } from './tamperings.mjs'

const main = join(dirname(fileURLToPath(import.meta.url)), '../../dist/cli/main.js')
const { values } = parseArgs({
  options: { times: { type: 'string', default: '2' }, seed: { type: 'string', default: '0' } },
})
const random = randomOf(values.seed)
const root = mkdtempSync(join(tmpdir(), 'freetumor-provenance-'))
const freetumor = (...argv) =>
  execFileSync(process.execPath, [main, ...argv], {
    env: { ...process.env, FREETUMOR_KEYS: join(root, 'set/keys') },
    stdio: ['ignore', 'ignore', 'inherit'],
    cwd: root,
  })

/** Return a copy of the signed data set, with what a tampering needs. */
function copied() {
  const folder = join(root, 'copy/synthetic')
  const keys = join(root, 'copy/keys')
  rmSync(join(root, 'copy'), { recursive: true, force: true })
  cpSync(join(root, 'set'), join(root, 'copy'), { recursive: true })
  const hosts = join(root, 'hosts/imagesTr')
  return {
    folder,
    keys,
    host: join(hosts, readdirSync(hosts)[0]),
    random: (limit) => Math.floor(random() * limit),
    revokeKey: async () => revokeKey(keys, (await readKeyring(keys))[0].id, 'campaign'),
    signAsStranger: async () => {
      const stranger = join(root, 'copy/stranger')
      await createKey(stranger)
      const path = join(folder, 'provenance.json')
      const manifest = await openManifest(path, [])
      const files = []
      for await (const { file } of manifest.entries()) files.push(file)
      await manifest[Symbol.asyncDispose]()
      await writeProvenance(path, manifest.head, files, await signingKey(stranger, folder))
    },
  }
}

async function reasonsAfter({ apply }) {
  const set = copied()
  await apply(set)
  const { files } = await verifyScans(set.folder, { keys: set.keys })
  return files.filter(({ state }) => state !== 'authentic').map(({ reason }) => reason)
}

try {
  freetumor('key', 'create')
  freetumor('phantom', '--out', 'hosts', '--cases', '3')
  const settings = ['--region', 'abdomen', '--variants', '2', '--seed', values.seed, '--licence', 'CC BY 4.0']
  freetumor('synthesize', '--images', 'hosts', '--out', 'set/synthetic', ...settings)
  const untouched = await reasonsAfter({ apply: () => {} })
  const missed = []
  const misplaced = []
  let done = 0
  for (let time = 0; time < Number(values.times); time++)
    for (const tampering of TAMPERINGS) {
      done++
      const reasons = await reasonsAfter(tampering)
      if (reasons.length === 0) missed.push(tampering.name)
      else if (!reasons.some((reason) => tampering.where.test(reason)))
        misplaced.push({ name: tampering.name, reasons: reasons.slice(0, 3) })
    }
  const refused = []
  for (const change of ALLOWED) if ((await reasonsAfter(change)).length > 0) refused.push(change.name)
  const found = done - missed.length
  console.log(
    JSON.stringify(
      { tamperings: done, found, placed: found - misplaced.length, missed, misplaced, refused, untouched },
      null,
      2,
    ),
  )
  if (missed.length + misplaced.length + refused.length + untouched.length > 0) process.exitCode = 1
} finally {
  rmSync(root, { recursive: true, force: true })
}

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'
import type { StudioOptions } from '../../src/studio/options.js'
import { openStudio } from '../../src/studio/server.js'
import { chromiumPath } from '../helpers/browser.js'
import { NOBODY } from './runs.js'

const executablePath = chromiumPath()
export const hasChromium = executablePath !== null
/** For titles of tests. */
export const missing = hasChromium ? '' : ' (skipped: no Chromium on PATH or in CHROME_PATH)'
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core'), 'utf8')

let browser: Browser

beforeAll(async () => {
  if (executablePath === null) return
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  browser = await chromium.launch({ executablePath, args })
})
afterAll(async () => browser?.close())

export interface OpenedPage {
  readonly page: Page
  readonly url: string
  /** Messages of the console, errors and requests to other servers. */
  readonly faults: readonly string[]
}

interface Look {
  readonly dark?: boolean
  readonly viewport?: { readonly width: number; readonly height: number }
}

/** Serve folders, and open the page in a browser of the running file, until the test ends. */
export async function openPage(
  folder: string | readonly string[],
  options: Partial<StudioOptions> & Look = {},
): Promise<OpenedPage> {
  const { dark, viewport, ...given } = options
  const pageFolder = join(packageRoot, 'dist/studio/page')
  const studio = await openStudio({
    folders: [folder].flat(),
    pageFolder,
    processes: NOBODY,
    ...given,
  })
  onTestFinished(() => studio[Symbol.asyncDispose]())
  return await visit(studio.url, { ...(dark && { dark }), ...(viewport && { viewport }) })
}

/** Open a URL in a browser of the running file, until the test ends. */
export async function visit(
  url: string,
  { dark = false, viewport = { width: 1280, height: 720 } }: Look = {},
): Promise<OpenedPage> {
  const context = await browser.newContext({
    colorScheme: dark ? 'dark' : 'light',
    bypassCSP: false,
    viewport,
  })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const faults: string[] = []
  const own = new URL(url).origin
  page.on('console', (message) => faults.push(`console: ${message.text()}`))
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('request', (request) => {
    if (!request.url().startsWith(own)) faults.push(`request: ${request.url()}`)
  })
  await page.goto(url)
  return { page, url, faults }
}

/** Return the rules of axe-core that a page breaks seriously. */
export async function violationsOf(page: Page): Promise<string[]> {
  // an isolated world of the debugger: the policy of the page refuses scripts in it
  await page.evaluate(AXE)
  return await page.evaluate(async () => {
    const { violations } = await (globalThis as never as { axe: typeof import('axe-core') }).axe.run()
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
  })
}

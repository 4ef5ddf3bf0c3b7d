import { realpath } from 'node:fs/promises'
import { McpServer } from '@modelcontextprotocol/server'
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio'
import { onAbort } from '../abort.js'
import { EnvironmentError, UsageError } from '../errors.js'
import type { Run } from '../index.js'
import { oneLine } from '../plain-text.js'
import { cannotBeRead } from '../system-errors.js'
import { answerOf, errorAnswer } from './answers.js'
import { controlTools } from './control-tools.js'
import { placesIn } from './places.js'
import { readingTools, type Tool } from './tools.js'

export interface McpSettings {
  /** Folders in which the tools read and write; relative paths start at the first one. */
  readonly folders: readonly string[]
  readonly version: string
  /** Offer tools that write files and control runs. Default: false. */
  readonly control?: boolean | undefined
}

/** Return the tools of a server. @throws UsageError if a folder does not exist */
export async function toolsOf({ folders, control }: McpSettings, started: Set<Run>): Promise<Tool[]> {
  const real = await Promise.all(
    folders.map((folder) =>
      // the slash refuses a file
      realpath(`${folder}/`).catch((error: NodeJS.ErrnoException) => {
        throw new UsageError(cannotBeRead(folder, error.code, 'folder'), { hint: 'name an existing folder' })
      }),
    ),
  )
  const places = placesIn(real)
  return [...readingTools(places), ...(control ? controlTools(places, started) : [])]
}

/**
 * Serve the Model Context Protocol on stdin and stdout until stdin ends or the signal aborts. Runs that a tool has
 * started are saved and stopped first.
 * @throws EnvironmentError if the connection breaks before, such as by a message above 10 MiB
 */
export async function serveMcp(settings: McpSettings, signal: AbortSignal): Promise<void> {
  const started = new Set<Run>()
  const tools = await toolsOf(settings, started)
  // defaults of a configuration, such as the cache, are relative to the working directory
  process.chdir(settings.folders[0]!)
  const transport = new StdioServerTransport()
  let failure = 'no reason'
  const onerror = (error: Error) => {
    failure = error.message
  }
  const handle = serveStdio(() => serverWith(tools, settings.version), { transport, onerror })
  const broken = await new Promise<boolean>((resolve) => {
    const closed = transport.onclose
    // also after a message above its limit, or when the agent no longer reads
    transport.onclose = () => {
      closed?.()
      resolve(!process.stdin.readableEnded && !process.stdin.destroyed)
    }
    onAbort(signal, () => resolve(false))
  })
  await Promise.allSettled([...started].map((run) => run.stop('the server of the agent ended')))
  await Promise.allSettled([...started].map((run) => run.result))
  await handle.close()
  if (broken)
    throw new EnvironmentError(`mcp: the connection of the agent broke (${oneLine(failure)})`, {
      hint: 'start the server again',
    })
}

/** Return a protocol server that offers the tools. */
export function serverWith(tools: readonly Tool[], version: string): McpServer {
  const server = new McpServer({ name: 'freetumor', version }, { capabilities: { tools: {} } })
  for (const { name, description, input, writes, run } of tools)
    server.registerTool(
      name,
      {
        description,
        inputSchema: input,
        annotations: { readOnlyHint: !writes, destructiveHint: false, openWorldHint: false },
      },
      async (given, { mcpReq }) => {
        const token = mcpReq._meta?.progressToken
        const progress = (done: number, total: number) => {
          if (token === undefined) return
          const params = { progressToken: token, progress: done, ...(total > 0 ? { total } : {}) }
          void mcpReq.notify({ method: 'notifications/progress', params }).catch(() => {})
        }
        try {
          return answerOf(await run(given, { signal: mcpReq.signal, progress }))
        } catch (error) {
          return errorAnswer(error)
        }
      },
    )
  return server
}

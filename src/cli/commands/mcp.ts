import { resolve } from 'node:path'
import { noteDicom } from '../dicom-arguments.js'
import { type AddCommand, packageVersion, withExample } from '../program.js'

/** `freetumor mcp`: serve the tools of an agent on stdin and stdout. */
export const addMcpCommand: AddCommand = (program, io) => {
  withExample(program.command('mcp'), 'freetumor mcp', 'freetumor mcp project data --control')
    .description('Serve an agent by the Model Context Protocol on stdin and stdout')
    .argument('[dir...]', 'folders in which the agent may read and write (default: the working directory)')
    .option('--control', 'Accept tools that write files, start trainings and control runs')
    .action(async (given: string[], { control }: { readonly control?: true }) => {
      // the server loads the whole library, which other commands do not need
      const { serveMcp } = await import('../../mcp/server.js')
      const folders = (given.length > 0 ? given : ['.']).map((folder) => resolve(io.cwd, folder))
      for (const one of given) await noteDicom(one, io)
      await serveMcp({ folders, control, version: packageVersion() }, io.signal)
    })
}

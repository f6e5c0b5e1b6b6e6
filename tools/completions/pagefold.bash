# SPDX-License-Identifier: GPL-2.0-or-later
# Bash completion for pagefold(1). Commands and their options come from the program's own table, names of
# VMs from the daemon, where it answers.

_pagefold_names()
{
	# Names are the VMs' own: only plain ones are offered, the others go by their pid.
	pagefold vms --json 2>/dev/null |
		sed -nE 's/^ *"name": "([[:alnum:]._-]+)",?$/\1/p; s/^ *"pid": ([0-9]+),?$/pid:\1/p'
}

# Offers the words that begin with what is typed. To bash, ':' and '=' divide words, so what stands before
# them is on the line already and must not be offered again.
_pagefold_offer()
{
	local current=$1 words=$2 before

	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	before=${current%"${current##*[:=]}"}
	COMPREPLY=("${COMPREPLY[@]#"$before"}")
	[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}

_pagefold()
{
	local typed=${COMP_LINE:0:COMP_POINT}
	local current=${typed##* } name options command="" words="" table

	typed=" ${typed% *} "
	if [[ $typed == *" --socket " ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
	fi
	table=$(pagefold --list-commands 2>/dev/null)
	while IFS=$'\t' read -r name options; do
		[[ $typed == *" $name "* ]] && command=$name && words=$options
	done <<<"$table"
	case $command in
	"")
		words="$(cut -f 1 <<<"$table" | cut -d ' ' -f 1) --help --version"
		[[ $typed == *" config "* ]] && words=check
		;;
	show | release)
		words+=" $(_pagefold_names)"
		;;
	set)
		words+=" $(_pagefold_names) mode=merge mode=observe mode=off group= hook=auto hook=ring"
		words+=" hook=none hugepages=keep hugepages=balance hugepages=fold"
		;;
	"config check")
		words+=" $(compgen -f -- "$current")"
		;;
	esac
	_pagefold_offer "$current" "$words"
}

complete -F _pagefold pagefold
